//! A font of letters made of pixels, since PNG has no text and there is no font to rely on.

use image::{Rgb, RgbImage};

/// The width and height at which a pixel of a letter is drawn.
const SCALE: u32 = 2;
/// The height of a line of text: seven pixels above the base line, two below.
pub(super) const HEIGHT: u32 = 9 * SCALE;
/// Free columns between two letters, and the width of a space.
const BETWEEN: u32 = 1;
const SPACE: u32 = 3;

/// The rows of each letter from above; those that are left out are empty.
const LETTERS: &[(char, &str)] = &[
    ('A', ".###. #...# #...# ##### #...# #...# #...#"),
    ('B', "####. #...# #...# ####. #...# #...# ####."),
    ('C', ".#### #.... #.... #.... #.... #.... .####"),
    ('D', "####. #...# #...# #...# #...# #...# ####."),
    ('E', "##### #.... #.... ####. #.... #.... #####"),
    ('F', "##### #.... #.... ####. #.... #.... #...."),
    ('G', ".#### #.... #.... #..## #...# #...# .####"),
    ('H', "#...# #...# #...# ##### #...# #...# #...#"),
    ('I', "### .#. .#. .#. .#. .#. ###"),
    ('J', "...# ...# ...# ...# ...# #..# .##."),
    ('K', "#...# #..#. #.#.. ##... #.#.. #..#. #...#"),
    ('L', "#... #... #... #... #... #... ####"),
    ('M', "#...# ##.## #.#.# #.#.# #...# #...# #...#"),
    ('N', "#...# ##..# ##..# #.#.# #..## #..## #...#"),
    ('O', ".###. #...# #...# #...# #...# #...# .###."),
    ('P', "####. #...# #...# ####. #.... #.... #...."),
    ('Q', ".###. #...# #...# #...# #.#.# #..#. .##.#"),
    ('R', "####. #...# #...# ####. #.#.. #..#. #...#"),
    ('S', ".#### #.... #.... .###. ....# ....# ####."),
    ('T', "##### ..#.. ..#.. ..#.. ..#.. ..#.. ..#.."),
    ('U', "#...# #...# #...# #...# #...# #...# .###."),
    ('V', "#...# #...# #...# #...# .#.#. .#.#. ..#.."),
    ('W', "#...# #...# #...# #.#.# #.#.# ##.## #...#"),
    ('X', "#...# #...# .#.#. ..#.. .#.#. #...# #...#"),
    ('Y', "#...# #...# .#.#. ..#.. ..#.. ..#.. ..#.."),
    ('Z', "##### ....# ...#. ..#.. .#... #.... #####"),
    ('a', ". . .###. ....# .#### #...# .####"),
    ('b', "#.... #.... ####. #...# #...# #...# ####."),
    ('c', ". . .### #... #... #... .###"),
    ('d', "....# ....# .#### #...# #...# #...# .####"),
    ('e', ". . .###. #...# ##### #.... .####"),
    ('f', ".## #.. ### #.. #.. #.. #.."),
    ('g', ". . .#### #...# #...# #...# .#### ....# .###."),
    ('h', "#.... #.... ####. #...# #...# #...# #...#"),
    ('i', "# . # # # # #"),
    ('j', "..# ... ..# ..# ..# ..# ..# ..# ##."),
    ('k', "#... #... #..# #.#. ##.. #.#. #..#"),
    ('l', "#. #. #. #. #. #. .#"),
    ('m', ". . ##.#. #.#.# #.#.# #.#.# #.#.#"),
    ('n', ". . ###. #..# #..# #..# #..#"),
    ('o', ". . .##. #..# #..# #..# .##."),
    ('p', ". . ###. #..# #..# #..# ###. #... #..."),
    ('q', ". . .### #..# #..# #..# .### ...# ...#"),
    ('r', ". . #.# ##. #.. #.. #.."),
    ('s', ". . .### #... .##. ...# ###."),
    ('t', "#.. #.. ### #.. #.. #.. .##"),
    ('u', ". . #..# #..# #..# #..# .###"),
    ('v', ". . #...# #...# #...# .#.#. ..#.."),
    ('w', ". . #.#.# #.#.# #.#.# #.#.# .#.#."),
    ('x', ". . #...# .#.#. ..#.. .#.#. #...#"),
    ('y', ". . #..# #..# #..# #..# .### ...# .##."),
    ('z', ". . #### ...# .##. #... ####"),
    ('0', ".###. #...# #..## #.#.# ##..# #...# .###."),
    ('1', ".#. ##. .#. .#. .#. .#. ###"),
    ('2', ".###. #...# ....# ...#. ..#.. .#... #####"),
    ('3', ".###. #...# ....# ..##. ....# #...# .###."),
    ('4', "...#. ..##. .#.#. #..#. ##### ...#. ...#."),
    ('5', "##### #.... ####. ....# ....# #...# .###."),
    ('6', ".###. #.... #.... ####. #...# #...# .###."),
    ('7', "##### ....# ...#. ...#. ..#.. ..#.. ..#.."),
    ('8', ".###. #...# #...# .###. #...# #...# .###."),
    ('9', ".###. #...# #...# .#### ....# ....# .###."),
    ('.', ". . . . . . #"),
    (',', ".. .. .. .. .. .. .# #."),
    (':', ". . # . . . #"),
    (';', ".. .. .# .. .. .. .# #."),
    ('!', "# # # # # . #"),
    ('?', ".##. #..# ...# ..#. .#.. .... .#.."),
    ('-', ". . . ###"),
    ('+', ". . ..#.. ..#.. ##### ..#.. ..#.."),
    ('=', ". . . #### .... ####"),
    ('_', ". . . . . . . ####"),
    ('/', "...# ...# ..#. ..#. .#.. .#.. #..."),
    ('(', ".# #. #. #. #. #. .#"),
    (')', "#. .# .# .# .# .# #."),
    ('[', "## #. #. #. #. #. ##"),
    (']', "## .# .# .# .# .# ##"),
    ('<', ". ...# ..#. .#.. ..#. ...#"),
    ('>', ". #... .#.. ..#. .#.. #..."),
    ('%', "##..# ##..# ...#. ..#.. .#... #..## #..##"),
    ('&', ".##.. #..#. #.#.. .#... #.#.# #..#. .##.#"),
    ('*', ". #.#.# .###. ##### .###. #.#.#"),
    ('#', ".#.#. .#.#. ##### .#.#. ##### .#.#. .#.#."),
    ('\'', "# #"),
    ('"', "#.# #.#"),
];
/// The sign for a letter that is not among them.
const UNKNOWN: &str = "##### #...# #...# #...# #...# #...# #####";

fn rows(letter: char) -> &'static str {
    let known = LETTERS.iter().find(|(known, _)| *known == letter);
    known.map_or(UNKNOWN, |(_, rows)| rows)
}

/// The columns that a letter takes.
fn columns(letter: char) -> u32 {
    if letter.is_whitespace() {
        return SPACE;
    }
    let widest = rows(letter).split_whitespace().map(str::len).max();
    u32::try_from(widest.unwrap_or_default()).unwrap_or_default()
}

/// The width of a text in pixels.
pub(super) fn width(text: &str) -> u32 {
    let columns: u32 = text.chars().map(|letter| columns(letter) + BETWEEN).sum();
    columns.saturating_sub(BETWEEN) * SCALE
}

/// The text, cut to fit `most` pixels, with dots where something was cut.
pub(super) fn fit(text: &str, most: u32) -> String {
    let mut shown = text.to_owned();
    while width(&shown) > most && !shown.is_empty() {
        let mut kept: Vec<char> = shown.trim_end_matches("..").chars().collect();
        kept.pop();
        shown = kept.into_iter().collect();
        if shown.is_empty() {
            break;
        }
        shown.push_str("..");
    }
    shown
}

/// Writes a text whose upper left corner is at `(x, y)`; what is beyond the picture is left out.
pub(super) fn write(picture: &mut RgbImage, text: &str, (x, y): (u32, u32), colour: Rgb<u8>) {
    let mut left = x;
    for letter in text.chars() {
        if !letter.is_whitespace() {
            for (row, pixels) in (0..).zip(rows(letter).split_whitespace()) {
                for (column, _) in (0..)
                    .zip(pixels.bytes())
                    .filter(|(_, pixel)| *pixel == b'#')
                {
                    dot(picture, (left + column * SCALE, y + row * SCALE), colour);
                }
            }
        }
        left += (columns(letter) + BETWEEN) * SCALE;
    }
}

fn dot(picture: &mut RgbImage, (x, y): (u32, u32), colour: Rgb<u8>) {
    for down in 0..SCALE {
        for right in 0..SCALE {
            if let Some(pixel) = picture.get_pixel_mut_checked(x + right, y + down) {
                *pixel = colour;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_letter_has_rows_of_one_width() {
        for (letter, rows) in LETTERS {
            let rows: Vec<&str> = rows.split_whitespace().collect();
            assert!(rows.len() <= 9, "{letter}");
            let wide = rows.iter().map(|row| row.len()).max().unwrap();
            for row in rows {
                assert!(row == "." || row.len() == wide, "{letter}: {row}");
                assert!(row.bytes().all(|pixel| b".#".contains(&pixel)), "{letter}");
            }
        }
    }

    #[test]
    fn a_text_is_as_wide_as_it_is_drawn() {
        let text = "Mean IoU, void 12 %";
        let mut picture = RgbImage::new(400, HEIGHT);
        write(&mut picture, text, (0, 0), Rgb([255; 3]));
        let last = picture
            .enumerate_pixels()
            .filter(|(_, _, pixel)| pixel.0 != [0; 3]);
        let last = last.map(|(x, _, _)| x).max();
        assert_eq!(last, Some(width(text) - 1));
        assert_eq!(fit("pedestrian", 400), "pedestrian");
        let cut = fit("pedestrian", 60);
        assert!(cut.ends_with("..") && width(&cut) <= 60, "{cut}");
        assert_eq!(fit("pedestrian", 1), "");
    }
}
