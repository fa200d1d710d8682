//! The looks of the series of a picture: colours, dashes and markers.

use plotters::style::RGBColor;

/// The colours of Okabe and Ito, which people with any kind of colour blindness can tell apart; without the
/// yellow, which does not show on white.
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(0, 0, 0),
];

/// Lengths in pixels of a stroke and the gap after it, over and over; none is a full line.
const DASHES: [&[f64]; 4] = [&[], &[6.0, 3.0], &[2.0, 2.5], &[8.0, 2.5, 2.0, 2.5]];

pub(super) const INK: RGBColor = RGBColor(34, 34, 34);
pub(super) const MUTED: RGBColor = RGBColor(100, 100, 100);
pub(super) const GRID: RGBColor = RGBColor(226, 226, 226);
pub(super) const PAPER: RGBColor = RGBColor(255, 255, 255);

/// The shape at a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Marker {
    Circle,
    Square,
    Triangle,
    Diamond,
    TriangleDown,
}

const MARKERS: [Marker; 5] = [
    Marker::Circle,
    Marker::Square,
    Marker::Triangle,
    Marker::Diamond,
    Marker::TriangleDown,
];

/// The look of one series.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    pub(super) colour: RGBColor,
    pub(super) dash: &'static [f64],
    pub(super) marker: Marker,
}

/// The look of series `index`; the first 140 differ.
pub(super) fn look(index: usize) -> Look {
    Look {
        colour: COLOURS[index % COLOURS.len()],
        dash: DASHES[index % DASHES.len()],
        marker: MARKERS[index % MARKERS.len()],
    }
}

/// The colour of a share from 0 to 1: white to dark blue.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "between the bytes of two colours lies a byte"
)]
pub(super) fn shade(share: f64) -> RGBColor {
    const STOPS: [(f64, f64, f64); 3] = [
        (255.0, 255.0, 255.0),
        (107.0, 174.0, 214.0),
        (8.0, 48.0, 107.0),
    ];
    let place = share.clamp(0.0, 1.0) * 2.0;
    let (from, to) = if place < 1.0 {
        (STOPS[0], STOPS[1])
    } else {
        (STOPS[1], STOPS[2])
    };
    let part = if place < 1.0 { place } else { place - 1.0 };
    let mix = |from: f64, to: f64| (from + (to - from) * part).round() as u8;
    RGBColor(mix(from.0, to.0), mix(from.1, to.1), mix(from.2, to.2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_of_many_series_look_the_same() {
        let looks: std::collections::BTreeSet<String> =
            (0..140).map(|index| format!("{:?}", look(index))).collect();
        assert_eq!(looks.len(), 140);
    }

    #[test]
    fn shades_begin_white_and_end_dark() {
        assert_eq!(shade(0.0), RGBColor(255, 255, 255));
        assert_eq!(shade(0.5), RGBColor(107, 174, 214));
        assert_eq!(shade(1.0), RGBColor(8, 48, 107));
        assert_eq!(shade(7.0), shade(1.0));
    }
}
