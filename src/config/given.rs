//! Paths and lists as they are given: the flags beat the configuration file, and where each comes from is recorded.

use std::path::PathBuf;

use super::file::{Text, Texts};
use super::resolve::Resolution;

impl Resolution<'_> {
    pub(super) fn is_from_flag(&self, name: &str) {
        self.recorder.record(name, format!("--{name}"));
    }

    pub(super) fn is_from(&self, name: &str, source: &str) {
        self.recorder.record(name, source.to_owned());
    }

    pub(super) fn is_from_file(&self, name: &str, text: &Text) {
        self.recorder.record(name, self.line(text.referenced.line()));
    }

    /// A path: of the flag, else of the file.
    pub(super) fn path(&self, name: &str, flag: Option<&PathBuf>, file: Option<&Text>) -> Option<PathBuf> {
        if let Some(path) = flag {
            self.is_from_flag(name);
            return Some(path.clone());
        }
        file.map(|text| {
            self.is_from_file(name, text);
            self.beside_file(&text.value)
        })
    }

    /// A list of paths: of the flags, else of the file.
    pub(super) fn paths(&self, name: &str, flags: &[PathBuf], file: Option<&Texts>) -> Vec<PathBuf> {
        self.entries(name, flags, file, PathBuf::clone, |text| self.beside_file(&text.value))
    }

    /// The entries of a list, each with the place for errors: of the flags, else of the file.
    pub(super) fn list<'a>(
        &self,
        name: &str,
        flags: &'a [String],
        file: Option<&'a Texts>,
    ) -> Vec<(String, &'a String)> {
        let of_flag = |text| (format!("--{name}"), text);
        self.entries(name, flags, file, of_flag, |text| (self.place(text, name), &text.value))
    }

    fn entries<'a, F, T>(
        &self,
        name: &str,
        flags: &'a [F],
        file: Option<&'a Texts>,
        of_flag: impl Fn(&'a F) -> T,
        of_file: impl Fn(&'a Text) -> T,
    ) -> Vec<T> {
        let file: &[Text] = file.map_or(&[], |texts| &texts.0);
        match (flags, file) {
            ([], []) => Vec::new(),
            ([], [first, ..]) => {
                self.is_from_file(name, first);
                file.iter().map(of_file).collect()
            }
            (flags, _) => {
                self.is_from_flag(name);
                flags.iter().map(of_flag).collect()
            }
        }
    }
}
