//! A page that is being put together, and its form in Markdown with pictures beside it.

use std::path::Path;

use kd_core::write_atomically;

use crate::block::{Block, Picture};
use crate::{Error, Result, Table};

/// The folder of the pictures beside the page.
const PICTURES: &str = "report";

/// A page that is being put together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Page {
    blocks: Vec<Block>,
}

impl Page {
    pub(crate) fn heading(&mut self, level: usize, text: &str) {
        self.blocks.push(Block::Heading(level, text.to_owned()));
    }

    /// Adds Markdown with an empty line after it.
    pub(crate) fn paragraph(&mut self, text: &str) {
        self.blocks.push(Block::Paragraph(text.to_owned()));
    }

    pub(crate) fn table(&mut self, table: &Table) {
        if !table.is_empty() {
            self.blocks.push(Block::Table(table.clone()));
        }
    }

    /// Adds a picture as a file `name.svg` or `name.png`, or `name-2.svg` and so on where there is one of
    /// that name.
    pub(crate) fn picture(&mut self, name: &str, about: &str, picture: Picture) {
        let block = Block::Picture(name.to_owned(), about.to_owned(), picture);
        self.blocks.push(block);
    }

    /// Adds text as it is.
    pub(crate) fn verbatim(&mut self, language: &'static str, text: &str) {
        self.blocks.push(Block::Verbatim(language, text.to_owned()));
    }

    /// Adds what pages in HTML alone have.
    pub(crate) fn in_html(&mut self, block: Block) {
        self.blocks.push(block);
    }

    /// The same, before the first section.
    pub(crate) fn before_sections(&mut self, block: Block) {
        let is_section = |block: &Block| matches!(block, Block::Heading(2, _));
        let first = self.blocks.iter().position(is_section);
        self.blocks
            .insert(first.unwrap_or(self.blocks.len()), block);
    }

    pub(crate) fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// Writes `report.md` with its pictures.
    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        Markdown::of(&self.blocks).write(folder)
    }
}

/// A page in Markdown: its text, and its pictures with the names of their files.
#[derive(Debug, Default)]
struct Markdown<'a> {
    text: String,
    pictures: Vec<(String, &'a [u8])>,
}

impl<'a> Markdown<'a> {
    fn of(blocks: &'a [Block]) -> Self {
        let mut page = Self::default();
        for block in blocks {
            match block {
                Block::Heading(level, text) => {
                    page.paragraph(&format!("{} {}", "#".repeat(*level), plain(text)));
                }
                Block::Paragraph(text) => page.paragraph(text),
                Block::Table(table) => page.paragraph(&table.to_string()),
                Block::Picture(name, about, picture) => page.picture(name, about, picture),
                Block::Verbatim(language, text) => page.verbatim(language, text),
                Block::Gallery(_) | Block::Highlights(_) | Block::Links(_) => {}
            }
        }
        page
    }

    fn paragraph(&mut self, text: &str) {
        self.text.push_str(text.trim_end());
        self.text.push_str("\n\n");
    }

    fn picture(&mut self, name: &str, about: &str, picture: &'a Picture) {
        let (extension, bytes) = picture.file();
        let is_free = |file: &String| self.pictures.iter().all(|(other, _)| other != file);
        let numbered = (2_u32..).map(|number| format!("{name}-{number}.{extension}"));
        let mut files = std::iter::once(format!("{name}.{extension}")).chain(numbered);
        let file = files.find(is_free).unwrap_or_default();
        let about = plain(&about.replace(['[', ']'], ""));
        self.paragraph(&format!("![{about}]({PICTURES}/{file})"));
        self.pictures.push((file, bytes));
    }

    fn verbatim(&mut self, language: &str, text: &str) {
        // A fence is longer than any that the text holds.
        let longest = text.split(|character| character != '`').map(str::len).max();
        let fence = "`".repeat(longest.unwrap_or(0).max(2) + 1);
        self.paragraph(&format!("{fence}{language}\n{}\n{fence}", text.trim_end()));
    }

    /// Writes the pictures into `report/` and then `report.md`; pictures of an earlier report that this one
    /// does not have are removed.
    fn write(&self, folder: &Path) -> Result<()> {
        let (place, path) = (folder.join(PICTURES), folder.join("report.md"));
        std::fs::create_dir_all(&place).map_err(kd_core::Error::io("create", &place))?;
        for (file, bytes) in &self.pictures {
            write_atomically(&place.join(file), bytes)?;
        }
        let earlier = std::fs::read_to_string(&path).unwrap_or_default();
        let page = format!("{}\n", visible(self.text.trim_end()));
        write_atomically(&path, page.as_bytes())?;
        self.remove_old(&place, &earlier).map_err(Error::from)
    }

    /// Removes the drawings and the pictures of an earlier page that are not on this one.
    fn remove_old(&self, place: &Path, earlier: &str) -> kd_core::Result<()> {
        let entries = std::fs::read_dir(place).map_err(kd_core::Error::io("read", place))?;
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
                continue;
            };
            let is_svg = path.extension().is_some_and(|extension| extension == "svg");
            let is_picture = is_svg || earlier.contains(&format!("]({PICTURES}/{name})"));
            let is_ours = self.pictures.iter().any(|(file, _)| file == name);
            if is_picture && !is_ours {
                std::fs::remove_file(&path).map_err(kd_core::Error::io("remove", &path))?;
            }
        }
        Ok(())
    }
}

/// The text with control characters, which names of others may have, in their written form.
fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\t' => out.push(character),
            control if control.is_control() => out.extend(control.escape_default()),
            other => out.push(other),
        }
    }
    out
}

/// Text that Markdown takes as text.
pub(super) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '#' | '|' => out.extend(['\\', character]),
            control if control.is_control() => out.push(' '),
            other => out.push(other),
        }
    }
    out
}

/// A name that can be a file's.
pub(super) fn slug(name: &str) -> String {
    let safe = |character: char| {
        if character.is_ascii_alphanumeric() || matches!(character, '-' | '_') {
            character
        } else {
            '-'
        }
    };
    name.chars().map(safe).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{count, percent};

    #[test]
    fn a_fence_is_longer_than_those_inside() {
        let mut page = Page::default();
        page.verbatim("toml", "a = '''\n````\n'''\n");
        let page = Markdown::of(&page.blocks);
        assert_eq!(page.text, "`````toml\na = '''\n````\n'''\n`````\n\n");
    }

    #[test]
    fn only_pictures_of_an_earlier_report_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("report");
        std::fs::create_dir(&place).unwrap();
        std::fs::write(place.join("old.svg"), "").unwrap();
        std::fs::write(place.join("segmentation.png"), "").unwrap();
        std::fs::write(place.join("synthetic.png"), "").unwrap();
        std::fs::write(place.join("notes.txt"), "").unwrap();
        std::fs::write(place.join("photo.png"), "").unwrap();
        let earlier = "![](report/segmentation.png)\n\n![](report/synthetic.png)\n";
        std::fs::write(folder.path().join("report.md"), earlier).unwrap();
        let mut page = Page::default();
        page.picture("new", "a [b]", Picture::Svg("<svg/>".into()));
        page.write(folder.path()).unwrap();
        assert!(!place.join("old.svg").exists() && place.join("notes.txt").exists());
        assert!(place.join("photo.png").exists());
        assert!(!place.join("segmentation.png").exists());
        assert!(!place.join("synthetic.png").exists());
        assert!(place.join("new.svg").exists());
        let text = std::fs::read_to_string(folder.path().join("report.md")).unwrap();
        assert_eq!(text, "![a b](report/new.svg)\n");
    }

    #[test]
    fn no_picture_takes_the_place_of_another() {
        let mut page = Page::default();
        page.picture("loss", "", Picture::Svg("1".into()));
        page.picture("loss", "", Picture::Svg("2".into()));
        page.picture("loss", "", Picture::Svg("3".into()));
        let page = Markdown::of(&page.blocks);
        let files: Vec<&str> = page
            .pictures
            .iter()
            .map(|(file, _)| file.as_str())
            .collect();
        assert_eq!(files, ["loss.svg", "loss-2.svg", "loss-3.svg"]);
    }

    #[test]
    fn numbers_and_names() {
        assert_eq!(
            (count(1_234_567), count(12)),
            ("1,234,567".into(), "12".into())
        );
        assert_eq!(
            (percent(0.5), slug("a/b c")),
            ("50.00 %".into(), "a-b-c".into())
        );
        assert_eq!(plain("a_b<c>\n"), "a\\_b\\<c> ");
    }
}
