//! Losses between several layers of both networks.

mod reviewkd; // knowledge review
mod semckd; // semantic calibration
