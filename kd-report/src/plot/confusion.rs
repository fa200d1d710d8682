//! A plot of a confusion matrix: true classes against predicted ones.

use super::canvas::{self, Anchor, Canvas, Font};
use super::frame::{LABEL, RIM, SMALL, title};
use super::palette::{GRID, INK, MUTED, PAPER, shade};
use super::text;
use crate::{Error, Result};

/// A cell is never smaller or larger than this, in pixels.
const CELL: [f64; 2] = [4.0, 46.0];
/// Up to this many classes every class is named; of more, every tenth.
const NAMED: usize = 40;
/// The room that a name may take.
const NAME: f64 = 120.0;

/// A confusion matrix as a heat map: true classes downwards, predicted ones to the right.
///
/// The colour of a cell goes by the root of its share of the true class, so that a rare class is seen as well
/// as a common one and a rare confusion at all; the counts are written in the cells where they fit. Of more
/// than 40 classes every tenth is named. The same input gives the same bytes.
///
/// # Examples
///
/// ```
/// use kd_report::ConfusionPlot;
///
/// let counts = [vec![9, 1], vec![2, 8]];
/// let svg = ConfusionPlot::new("Student", &counts, &["cat", "dog"])?.svg()?;
/// assert!(svg.contains("cat"));
/// # Ok::<(), kd_report::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfusionPlot {
    pub(crate) title: String,
    pub(crate) rows: Vec<Vec<u64>>,
    pub(crate) names: Vec<String>,
}

impl ConfusionPlot {
    /// A plot of counts: one row for each true class, in it one column for each predicted class.
    ///
    /// # Errors
    ///
    /// [`Error::NoValues`] without a class, [`Error::Length`] if the rows or the names do not fit the number
    /// of classes, [`Error::Config`] for more than 1000 classes.
    pub fn new<Name: AsRef<str>>(
        title: impl Into<String>,
        rows: &[Vec<u64>],
        names: &[Name],
    ) -> Result<Self> {
        let title = title.into();
        let what = format!("plot `{title}`");
        if rows.is_empty() {
            return Err(Error::NoValues {
                what,
                remedy: "give it a row for each class".into(),
            });
        }
        if rows.len() > 1000 {
            return Err(Error::Config {
                field: "rows",
                problem: format!("must be 1000 at most, got {}", rows.len()),
            });
        }
        let lengths = rows.iter().map(|row| ("columns", row.len()));
        for (part, found) in lengths.chain([("names", names.len())]) {
            if found != rows.len() {
                return Err(Error::Length {
                    what: format!("{what}, {part}"),
                    expected: rows.len(),
                    found,
                    remedy: "give one for each class".into(),
                });
            }
        }
        let names = names.iter().map(|name| name.as_ref().to_owned());
        Ok(Self {
            title,
            rows: rows.to_vec(),
            names: names.collect(),
        })
    }

    /// The picture; its size goes by the number of classes.
    ///
    /// # Errors
    ///
    /// [`Error::Draw`] if the plotting library fails.
    pub fn svg(&self) -> Result<String> {
        let layout = self.layout();
        canvas::draw(&self.title, [layout.width, layout.height], |canvas| {
            self.paint(canvas, &layout)
        })
    }

    fn layout(&self) -> Layout {
        let classes = self.rows.len();
        let every = if classes <= NAMED { 1 } else { 10 };
        let names = self.names.iter().step_by(every);
        let widest = names.map(|name| text::width(name, SMALL));
        let name = widest.fold(0.0, f64::max).min(NAME);
        let cell = (460.0 / classes as f64).clamp(CELL[0], CELL[1]);
        let side = cell * classes as f64;
        let head = if self.title.is_empty() {
            RIM
        } else {
            RIM + 26.0
        };
        let left = RIM + 22.0 + name + 8.0;
        Layout {
            every,
            name,
            cell,
            side,
            left,
            top: head + 6.0,
            // The bar of colours at the right, with its numbers.
            width: (left + side + 78.0 + RIM).max(240.0),
            height: (head + 6.0 + side + 8.0 + name + 26.0 + RIM).max(240.0),
        }
    }

    fn paint(&self, canvas: &Canvas<'_>, at: &Layout) -> Result<()> {
        title(canvas, &self.title, at.width)?;
        for (row, counts) in self.rows.iter().enumerate() {
            let total: u64 = counts.iter().sum();
            for (column, &count) in counts.iter().enumerate() {
                if count > 0 {
                    cell(canvas, at, [row, column], (count, total))?;
                }
            }
        }
        let (right, bottom) = (at.left + at.side, at.top + at.side);
        let corners = [
            (at.left, at.top),
            (right, at.top),
            (right, bottom),
            (at.left, bottom),
            (at.left, at.top),
        ];
        canvas.line(&corners, INK, 1.0, &[])?;
        self.names(canvas, at)?;
        colour_bar(canvas, at)
    }

    fn names(&self, canvas: &Canvas<'_>, at: &Layout) -> Result<()> {
        // Small cells have no room for names in the usual size.
        let size = SMALL.min((at.cell * at.every as f64).max(7.0));
        let bottom = at.top + at.side;
        for (class, name) in self.names.iter().enumerate().step_by(at.every) {
            let name = text::fit(name, size, at.name);
            let middle = (class as f64 + 0.5) * at.cell;
            let font = Font::new(size, INK, Anchor::End);
            canvas.text(&name, (at.left - 6.0, at.top + middle), font)?;
            let place = (at.left + middle, bottom + 6.0);
            canvas.text(&name, place, font.upwards())?;
        }
        let font = Font::new(LABEL, INK, Anchor::Middle);
        let middle = at.side / 2.0;
        let below = bottom + 8.0 + at.name + 16.0;
        canvas.text("predicted class", (at.left + middle, below), font)?;
        let font = font.upwards();
        canvas.text("true class", (RIM + 6.0, at.top + middle), font)
    }
}

/// The layout of the picture, in pixels.
struct Layout {
    /// Every so many classes have their name written.
    every: usize,
    name: f64,
    cell: f64,
    side: f64,
    left: f64,
    top: f64,
    width: f64,
    height: f64,
}

fn cell(
    canvas: &Canvas<'_>,
    at: &Layout,
    [row, column]: [usize; 2],
    (count, total): (u64, u64),
) -> Result<()> {
    let share = count as f64 / total.max(1) as f64;
    let (x, y) = (
        at.left + column as f64 * at.cell,
        at.top + row as f64 * at.cell,
    );
    canvas.block((x, y), (x + at.cell, y + at.cell), shade(share.sqrt()))?;
    let text = count.to_string();
    let size = (at.cell * 0.36).min(SMALL);
    if size >= 7.0 && text::width(&text, size) <= at.cell - 2.0 {
        let colour = if share > 0.3 { PAPER } else { INK };
        let middle = (x + at.cell / 2.0, y + at.cell / 2.0);
        canvas.text(&text, middle, Font::new(size, colour, Anchor::Middle))?;
    }
    Ok(())
}

/// Draws the scale of colours.
fn colour_bar(canvas: &Canvas<'_>, at: &Layout) -> Result<()> {
    const STEPS: u32 = 50;
    let (left, right) = (at.left + at.side + 20.0, at.left + at.side + 32.0);
    let height = at.side.clamp(80.0, 200.0);
    let place = |part: f64| at.top + height * (1.0 - part);
    for step in 0..STEPS {
        let [from, to] = [step, step + 1].map(|step| f64::from(step) / f64::from(STEPS));
        let colour = shade(f64::midpoint(from, to));
        canvas.block((left, place(to)), (right, place(from)), colour)?;
    }
    let corners = [
        (left, at.top),
        (right, at.top),
        (right, at.top + height),
        (left, at.top + height),
        (left, at.top),
    ];
    canvas.line(&corners, GRID, 1.0, &[])?;
    for percent in [0, 5, 20, 50, 100_u8] {
        let font = Font::new(SMALL, MUTED, Anchor::Start);
        let at = place((f64::from(percent) / 100.0).sqrt());
        canvas.text(&format!("{percent} %"), (right + 5.0, at), font)?;
    }
    Ok(())
}
