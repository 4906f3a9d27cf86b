//! Text to count words in, and their numbers.

mod alias_table;
mod naive_count;
mod vocabulary;
mod zipf_text;

pub(crate) use naive_count::count_naively;
pub(crate) use zipf_text::ZipfText;
