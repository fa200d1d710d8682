//! The blocks of a page: headings, text, tables and pictures, in whatever form they are written.

use crate::html::Shown;
use crate::{ConfusionPlot, CountPlot, DotPlot, LinePlot, Result, Table};

/// A picture in one of the formats that pages show.
///
/// A plot is best given by [`Picture::lines`] and its like: a page in HTML then shows its values.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Picture {
    /// A drawing, as text.
    Svg(String),
    /// An image, as a PNG file has it.
    Png(Vec<u8>),
    /// A plot with its drawing.
    Plot(DrawnPlot),
}

/// A plot with its drawing.
#[derive(Clone, Debug, PartialEq)]
pub struct DrawnPlot {
    pub(crate) svg: String,
    pub(crate) plot: Plot,
}

/// A plot of one of the kinds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Plot {
    Lines(LinePlot),
    Dots(DotPlot),
    Counts(CountPlot),
    Confusion(ConfusionPlot),
}

impl Picture {
    /// A plot of lines.
    ///
    /// # Errors
    ///
    /// As [`LinePlot::svg`].
    pub fn lines(plot: LinePlot) -> Result<Self> {
        let svg = plot.svg()?;
        let plot = Plot::Lines(plot);
        Ok(Self::Plot(DrawnPlot { svg, plot }))
    }

    /// A plot of dots.
    ///
    /// # Errors
    ///
    /// As [`DotPlot::svg`].
    pub fn dots(plot: DotPlot) -> Result<Self> {
        let svg = plot.svg()?;
        let plot = Plot::Dots(plot);
        Ok(Self::Plot(DrawnPlot { svg, plot }))
    }

    /// A plot of counts.
    ///
    /// # Errors
    ///
    /// As [`CountPlot::svg`].
    pub fn counts(plot: CountPlot) -> Result<Self> {
        let svg = plot.svg()?;
        let plot = Plot::Counts(plot);
        Ok(Self::Plot(DrawnPlot { svg, plot }))
    }

    /// A confusion matrix.
    ///
    /// # Errors
    ///
    /// As [`ConfusionPlot::svg`].
    pub fn confusion(plot: ConfusionPlot) -> Result<Self> {
        let svg = plot.svg()?;
        let plot = Plot::Confusion(plot);
        Ok(Self::Plot(DrawnPlot { svg, plot }))
    }

    /// The ending of its file, `svg` or `png`, and what is in it.
    pub fn file(&self) -> (&'static str, &[u8]) {
        match self {
            Self::Svg(svg) => ("svg", svg.as_bytes()),
            Self::Png(png) => ("png", png),
            Self::Plot(plot) => ("svg", plot.svg.as_bytes()),
        }
    }
}

/// A block of a page.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Block {
    /// A heading of a level from 1.
    Heading(usize, String),
    /// A paragraph of Markdown.
    Paragraph(String),
    /// A table with a row at least.
    Table(Table),
    /// A picture: the name of its file without an ending, what it shows, and the picture.
    Picture(String, String, Picture),
    /// Text as it is, in a language.
    Verbatim(&'static str, String),
    /// Images of samples; in HTML alone.
    Gallery(Vec<Shown>),
    /// What matters most, as name, value and a remark; in HTML alone.
    Highlights(Vec<[String; 3]>),
    /// Addresses on the same server, each with a name and a remark; in HTML alone.
    Links(Vec<[String; 3]>),
}
