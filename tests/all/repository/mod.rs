//! What the sources, the documents and the packages must be.

mod architecture;
mod documents;
mod fuzz_corpus;
mod golden;
mod imports;
mod packaging;
mod prose;
mod reference;
mod runbooks;
mod sizes;
