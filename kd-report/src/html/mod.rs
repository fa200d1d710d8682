//! HTML pages: one file with all its pictures, style and script, and nothing from elsewhere.
//!
//! | file | holds |
//! |---|---|
//! | `document` | the page around its blocks: head, policy, contents |
//! | `markdown`, `table` | text and tables |
//! | `lines`, `bars`, `confusion` | plots whose values can be read |
//! | `gallery` | images of samples |
//! | `encode` | text and bytes in the forms that a page takes |

mod bars;
mod confusion;
mod document;
mod encode;
mod gallery;
mod lines;
mod markdown;
mod table;

pub use document::WebPage;
pub use gallery::SampleImages;
pub(crate) use gallery::Shown;
