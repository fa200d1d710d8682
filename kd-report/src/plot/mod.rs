//! SVG pictures, drawn by plotters.

pub(crate) mod axis;
mod canvas;
mod confusion;
mod counts;
mod dots;
mod frame;
mod legend;
mod line;
mod palette;
pub(crate) mod series;
pub(crate) mod text;

pub use axis::Scale;
pub use confusion::ConfusionPlot;
pub use counts::CountPlot;
pub use dots::DotPlot;
pub use line::LinePlot;
pub use series::Series;
