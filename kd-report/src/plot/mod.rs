//! SVG pictures, drawn by plotters.

mod axis;
mod canvas;
mod confusion;
mod counts;
mod dots;
mod frame;
mod legend;
mod line;
mod palette;
mod series;
mod text;

pub use axis::Scale;
pub use confusion::ConfusionPlot;
pub use counts::CountPlot;
pub use dots::DotPlot;
pub use line::LinePlot;
pub use series::Series;
