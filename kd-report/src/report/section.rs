//! A section of a page: text, tables and pictures below a title.

use crate::Table;
use crate::block::Picture;
use crate::report::page::Page;

/// A section of a page: text, tables and pictures below a title.
///
/// It is what a method adds to the report of its runs, and to the check of its recipes.
///
/// ```
/// use kd_report::{Align, RunReport, Section, Table};
///
/// let mut table = Table::new([("branch", Align::Left), ("accuracy", Align::Right)]);
/// table.row(["branch 0", "84.20 %"])?;
/// let section = Section::new("Branches").with_text("Each branch by itself.").with_table(table);
/// let report = RunReport::new("student-seed0").with_section(section);
/// # Ok::<(), kd_report::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Section {
    title: String,
    parts: Vec<SectionPart>,
}

/// A part of a [`Section`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum SectionPart {
    /// A paragraph of Markdown.
    Text(String),
    /// A table.
    Table(Table),
    /// A picture.
    Picture {
        /// The name of its file without `.svg` or `.png`.
        name: String,
        /// What it shows, in words.
        about: String,
        /// The picture.
        picture: Picture,
    },
}

impl Section {
    /// A section without content.
    pub fn new(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            parts: Vec::new(),
        }
    }

    /// Its title.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// Its parts in order.
    pub fn parts(&self) -> &[SectionPart] {
        &self.parts
    }

    /// With a paragraph of Markdown.
    #[must_use]
    pub fn with_text(self, text: impl Into<String>) -> Self {
        self.with(SectionPart::Text(text.into()))
    }

    /// With a sentence, without its end, as a warning.
    #[must_use]
    pub fn with_warning(self, text: &str) -> Self {
        self.with_text(format!("**Warning:** {}.", text.replace('<', "&lt;")))
    }

    /// With a table; one without rows is left out.
    #[must_use]
    pub fn with_table(self, table: Table) -> Self {
        self.with(SectionPart::Table(table))
    }

    /// With a picture: the name of its file, without `.svg` or `.png`, and what it shows.
    #[must_use]
    pub fn with_picture(
        self,
        name: impl Into<String>,
        about: impl Into<String>,
        picture: Picture,
    ) -> Self {
        self.with(SectionPart::Picture {
            name: name.into(),
            about: about.into(),
            picture,
        })
    }

    fn with(mut self, part: SectionPart) -> Self {
        self.parts.push(part);
        self
    }

    /// Puts it on a page.
    pub(crate) fn show(&self, page: &mut Page) {
        page.heading(2, &self.title);
        for part in &self.parts {
            match part {
                SectionPart::Text(text) => page.paragraph(text),
                SectionPart::Table(table) => page.table(table),
                SectionPart::Picture {
                    name,
                    about,
                    picture,
                } => page.picture(name, about, picture.clone()),
            }
        }
    }
}
