//! A white sheet to draw on, in pixels.

use plotters::backend::SVGBackend;
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, IntoDrawingArea};
use plotters::element::{Circle, PathElement, Polygon, Rectangle, Text};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{
    Color, FontDesc, FontFamily, FontStyle, FontTransform, IntoTextStyle, RGBColor,
};

use super::palette::{Look, Marker, PAPER};
use super::text::printable;
use crate::{Error, Result};

/// plotters' coordinates are whole numbers; in tenths of a pixel they are as good as continuous.
const TENTHS: f64 = 10.0;
/// plotters writes a text smaller than it is asked to, by this factor.
const FONT_FACTOR: f64 = 1.24;
const FONT: &str = "Helvetica, Arial, sans-serif";

/// A place in pixels from the upper left corner.
pub(super) type Place = (f64, f64);

/// The position of a text in relation to its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    /// It begins there.
    Start,
    /// Its middle is there.
    Middle,
    /// It ends there.
    End,
}

/// The look of a text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Font {
    pub(super) size: f64,
    pub(super) colour: RGBColor,
    pub(super) anchor: Anchor,
    pub(super) bold: bool,
    /// Read from below to above.
    pub(super) upwards: bool,
}

impl Font {
    pub(super) fn new(size: f64, colour: RGBColor, anchor: Anchor) -> Self {
        Self {
            size,
            colour,
            anchor,
            bold: false,
            upwards: false,
        }
    }

    pub(super) fn bold(self) -> Self {
        Self { bold: true, ..self }
    }

    pub(super) fn upwards(self) -> Self {
        Self {
            upwards: true,
            ..self
        }
    }
}

/// A sheet that is being drawn on.
pub(super) struct Canvas<'a> {
    area: DrawingArea<SVGBackend<'a>, Shift>,
    title: &'a str,
}

/// Draws a picture of `width` by `height` pixels and gives it as SVG.
pub(super) fn draw(
    title: &str,
    [width, height]: [f64; 2],
    paint: impl FnOnce(&Canvas<'_>) -> Result<()>,
) -> Result<String> {
    let size = [width, height].map(tenths);
    let size = size.map(i32::unsigned_abs);
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (size[0], size[1])).into_drawing_area();
        let canvas = Canvas { area, title };
        canvas.done(canvas.area.fill(&PAPER))?;
        paint(&canvas)?;
        canvas.done(canvas.area.present())?;
    }
    // The size it is shown at is in pixels, while the view box stays in tenths.
    let drawn = format!("width=\"{}\" height=\"{}\"", size[0], size[1]);
    let shown = format!("width=\"{}\" height=\"{}\"", width.round(), height.round());
    Ok(svg.replacen(&drawn, &shown, 1))
}

impl Canvas<'_> {
    /// A line through points, dashed by lengths of strokes and gaps, or full if there are none.
    pub(super) fn line(
        &self,
        points: &[Place],
        colour: RGBColor,
        width: f64,
        dash: &[f64],
    ) -> Result<()> {
        let style = colour.stroke_width(tenths(width).unsigned_abs());
        for piece in strokes(points, dash) {
            let piece: Vec<_> = piece.into_iter().map(coordinates).collect();
            self.done(self.area.draw(&PathElement::new(piece, style)))?;
        }
        Ok(())
    }

    /// A filled area.
    pub(super) fn area(&self, corners: &[Place], colour: RGBColor, opacity: f64) -> Result<()> {
        let corners: Vec<_> = corners.iter().copied().map(coordinates).collect();
        let style = colour.mix(opacity).filled();
        self.done(self.area.draw(&Polygon::new(corners, style)))
    }

    /// A filled rectangle between two corners.
    pub(super) fn block(&self, from: Place, to: Place, colour: RGBColor) -> Result<()> {
        let corners = [coordinates(from), coordinates(to)];
        self.done(self.area.draw(&Rectangle::new(corners, colour.filled())))
    }

    /// The marker of a series, with a thin white rim that sets it off from its line.
    pub(super) fn marker(&self, at: Place, look: Look, radius: f64) -> Result<()> {
        self.shape(at, look.marker, radius + 0.9, PAPER, 1.0)?;
        self.shape(at, look.marker, radius, look.colour, 1.0)
    }

    /// A filled shape.
    pub(super) fn shape(
        &self,
        (x, y): Place,
        marker: Marker,
        radius: f64,
        colour: RGBColor,
        opacity: f64,
    ) -> Result<()> {
        let r = radius;
        let corners = match marker {
            Marker::Circle => {
                let style = colour.mix(opacity).filled();
                let circle = Circle::new(coordinates((x, y)), tenths(r).unsigned_abs(), style);
                return self.done(self.area.draw(&circle));
            }
            Marker::Square => {
                let r = 0.88 * r;
                vec![
                    (x - r, y - r),
                    (x + r, y - r),
                    (x + r, y + r),
                    (x - r, y + r),
                ]
            }
            Marker::Diamond => {
                let r = 1.25 * r;
                vec![(x, y - r), (x + r, y), (x, y + r), (x - r, y)]
            }
            Marker::Triangle => vec![
                (x, y - 1.2 * r),
                (x + 1.1 * r, y + 0.8 * r),
                (x - 1.1 * r, y + 0.8 * r),
            ],
            Marker::TriangleDown => vec![
                (x, y + 1.2 * r),
                (x + 1.1 * r, y - 0.8 * r),
                (x - 1.1 * r, y - 0.8 * r),
            ],
        };
        self.area(&corners, colour, opacity)
    }

    /// A text whose middle height is at `at`.
    pub(super) fn text(&self, text: &str, at: Place, font: Font) -> Result<()> {
        let text = printable(text);
        if text.is_empty() {
            return Ok(());
        }
        let style = if font.bold {
            FontStyle::Bold
        } else {
            FontStyle::Normal
        };
        let horizontal = match font.anchor {
            Anchor::Start => HPos::Left,
            Anchor::Middle => HPos::Center,
            Anchor::End => HPos::Right,
        };
        let size = font.size * TENTHS * FONT_FACTOR;
        let mut described = FontDesc::new(FontFamily::Name(FONT), size, style);
        if font.upwards {
            described = described.transform(FontTransform::Rotate270);
        }
        let style = described
            .into_text_style(&self.area)
            .color(&font.colour)
            .pos(Pos::new(horizontal, VPos::Center));
        self.done(self.area.draw(&Text::new(text, coordinates(at), style)))
    }

    fn done<E: std::fmt::Display>(&self, result: std::result::Result<(), E>) -> Result<()> {
        result.map_err(|error| Error::Draw {
            title: self.title.to_owned(),
            problem: error.to_string(),
        })
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a sheet is some thousand pixels wide, and a cast of more saturates"
)]
fn tenths(pixels: f64) -> i32 {
    (pixels * TENTHS).round() as i32
}

fn coordinates((x, y): Place) -> (i32, i32) {
    (tenths(x), tenths(y))
}

/// Cuts a line into the strokes of a dashed one.
fn strokes(points: &[Place], dash: &[f64]) -> Vec<Vec<Place>> {
    if dash.is_empty() || points.len() < 2 {
        return vec![points.to_vec()];
    }
    let mut out = Vec::new();
    let mut lengths = dash.iter().copied().cycle();
    let mut left = lengths.next().unwrap_or(1.0);
    let mut drawing = true;
    let mut stroke = vec![points[0]];
    for pair in points.windows(2) {
        let (mut here, to) = (pair[0], pair[1]);
        loop {
            let length = (to.0 - here.0).hypot(to.1 - here.1);
            if length <= left {
                left -= length;
                if drawing {
                    stroke.push(to);
                }
                break;
            }
            let part = left / length;
            here = (
                here.0 + (to.0 - here.0) * part,
                here.1 + (to.1 - here.1) * part,
            );
            if drawing {
                stroke.push(here);
                out.push(std::mem::take(&mut stroke));
            } else {
                stroke = vec![here];
            }
            drawing = !drawing;
            left = lengths.next().unwrap_or(1.0);
        }
    }
    if drawing && stroke.len() > 1 {
        out.push(stroke);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dashed_line_keeps_its_corners() {
        let line = [(0.0, 0.0), (4.0, 0.0), (4.0, 6.0)];
        assert_eq!(strokes(&line, &[]), vec![line.to_vec()]);
        let expected = vec![vec![(0.0, 0.0), (3.0, 0.0)], vec![(4.0, 1.0), (4.0, 4.0)]];
        assert_eq!(strokes(&line, &[3.0, 2.0]), expected);
        let around = strokes(&line, &[5.0, 1.0]);
        assert_eq!(around[0], vec![(0.0, 0.0), (4.0, 0.0), (4.0, 1.0)]);
    }

    #[test]
    fn a_picture_is_shown_in_pixels() {
        let svg = draw("t", [320.0, 200.0], |_| Ok(())).unwrap();
        assert!(
            svg.starts_with("<svg width=\"320\" height=\"200\" viewBox=\"0 0 3200 2000\""),
            "{svg}"
        );
        assert!(svg.trim_end().ends_with("</svg>"));
    }
}
