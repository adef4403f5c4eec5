//! Requests of a backfill: smaller pages where large ones fail, and patience with an API that does not answer.

use super::{Failure, ListedChat, Reader};
use crate::api::endpoint::smaller_page;
use crate::api::{ApiError, ChatRow, Fault, MessageRow, Page, Transport};

impl<T: Transport> Reader<'_, T> {
    pub(super) async fn chats_page(&mut self, offset: u64) -> Result<Page<ChatRow>, Failure> {
        loop {
            match self.task.client.list_chats(offset, self.page_limit).await {
                Ok(answer) => {
                    self.answered();
                    return Ok(answer.value);
                }
                Err(error) if self.asks_for_smaller_pages(error.fault) => {}
                Err(error) if error.fault.is_retryable() => self.bear(&error).await?,
                Err(error) => return Err(self.refused(&error)),
            }
        }
    }

    pub(super) async fn messages_page(
        &mut self,
        chat: &ListedChat,
        since: i64,
        until: Option<i64>,
        offset: u64,
    ) -> Result<Page<MessageRow>, ApiError> {
        loop {
            let limit = self.page_limit;
            match self.task.client.list_messages(chat.id.clone(), since, until, offset, limit).await {
                Ok(answer) => {
                    self.answered();
                    return Ok(answer.value);
                }
                Err(error) if self.asks_for_smaller_pages(error.fault) => {}
                Err(error) => return Err(error),
            }
        }
    }

    pub(super) fn answered(&mut self) {
        self.answers += 1;
        self.outage.answered();
        self.progress.answered(self.task.account, self.task.client.requests());
    }

    pub(super) fn asks_for_smaller_pages(&mut self, fault: Fault) -> bool {
        let smaller = smaller_page(self.page_limit).filter(|_| fault == Fault::Status(400));
        self.page_limit = smaller.unwrap_or(self.page_limit);
        smaller.is_some()
    }

    /// Waits after a failure that may pass.
    pub(super) async fn bear(&mut self, error: &ApiError) -> Result<(), Failure> {
        self.progress.answered(self.task.account, self.task.client.requests());
        self.outage.bear(error).await
    }

    pub(super) fn refused(&self, error: &ApiError) -> Failure {
        let advice = error.advice();
        Failure(format!("account {}: {error}; {advice}, then run the same command again", self.task.name))
    }
}
