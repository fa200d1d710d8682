//! Statistics over seeds: mean, spread and paired differences.

mod paired;
mod student_t;
mod summary;

pub use paired::PairedDifference;
pub use student_t::student_t_quantile;
pub use summary::Summary;
