//! Pictures of segmentations and of images in rows: places and colours, the same bytes each time, errors in
//! words, and one of real images to look at.
use std::io::Write;
use std::path::PathBuf;

use image::{Rgb, RgbImage};
use kd_core::{DataRoots, DatasetInfo, Error as CoreError, Split};
use kd_report::{CAMVID_CLASSES, Error, ImageRows, SegmentationBoard};

fn decoded(board: &SegmentationBoard) -> RgbImage {
    image::load_from_memory(&board.png().unwrap())
        .unwrap()
        .into_rgb8()
}

fn small() -> SegmentationBoard {
    SegmentationBoard::new([2, 4], &CAMVID_CLASSES).unwrap()
}

#[test]
fn each_image_and_each_class_has_its_place_and_colour() {
    let image: Vec<u8> = (0..24).map(|at| at * 10).collect();
    let board = small()
        .with_images("input", &[&image[..], &image[..8]])
        .unwrap()
        .with_masks(
            "truth",
            &[[0, 1, 2, 3, 4, 5, 6, 7], [8, 9, 10, 11, 0, 0, 0, 0]],
        )
        .unwrap();
    let picture = decoded(&board);
    // Two columns of 320 by 160, two rows, below a line of titles.
    let (left, top) = (16, 16 + 18 + 8);
    assert_eq!(picture.width(), 2 * 320 + 8 + 2 * 16);
    assert_eq!(picture.get_pixel(left, top), &Rgb([0, 80, 160]));
    assert_eq!(picture.get_pixel(left + 85, top + 85), &Rgb([50, 130, 210]));
    // The second image is grey.
    assert_eq!(picture.get_pixel(left + 85, top + 168), &Rgb([10; 3]));
    let mask = left + 328;
    for (class, (_, colour)) in (0..).zip(&CAMVID_CLASSES[..8]) {
        let at = (mask + 80 * (class % 4) + 79, top + 80 * (class / 4) + 79);
        assert_eq!(picture.get_pixel(at.0, at.1), &Rgb(*colour), "{class}");
    }
    assert_eq!(
        picture.get_pixel(mask + 80 * 3, top + 168),
        &Rgb([216; 3]),
        "void"
    );
    // The legend begins with the sky.
    let legend = top + 2 * 168 + 8;
    assert_eq!(picture.get_pixel(left, legend), &Rgb([128; 3]));
    let below = |colour: [u8; 3]| {
        let lower = picture.enumerate_pixels().filter(|(_, y, _)| *y >= legend);
        lower.filter(|(_, _, pixel)| pixel.0 == colour).count()
    };
    for (name, colour) in CAMVID_CLASSES {
        assert_eq!(below(colour), 18 * 18, "{name}");
    }
    assert_eq!(below([216; 3]), 18 * 18);
    assert_eq!(board.png().unwrap(), board.png().unwrap());
}

#[test]
fn void_is_in_the_legend_only_where_it_is_in_a_mask() {
    let without = small().with_masks("truth", &[[0; 8]]).unwrap();
    let pixels = decoded(&without);
    assert!(pixels.pixels().all(|pixel| pixel.0 != [216; 3]));
}

#[test]
fn what_does_not_fit_is_refused_in_words() {
    let text = |outcome: Result<SegmentationBoard, Error>| outcome.unwrap_err().to_string();
    assert_eq!(
        text(SegmentationBoard::new([0, 4], &CAMVID_CLASSES)),
        "`size` must be 1 to 4096 pixels a side, got 0x4"
    );
    assert_eq!(
        text(SegmentationBoard::new([2, 4], &[("", [0; 3]); 0])),
        "`classes` must be 1 to 256, got 0"
    );
    assert_eq!(
        text(small().with_images("input", &[[0; 9]])),
        "an image of a segmentation board: expected 24 entries, got 9; give one or three channels of 2x4 \
         pixels"
    );
    assert_eq!(
        text(small().with_masks("truth", &[[0; 9]])),
        "a mask of a segmentation board: expected 8 entries, got 9; give the class of each of 2x4 pixels"
    );
    let one = small().with_masks("truth", &[[0; 8]]).unwrap();
    assert_eq!(
        text(one.clone().with_masks("student", &[[0; 8]; 2])),
        "column `student` of a segmentation board: expected 1 entries, got 2; give one for each of column \
         `truth`"
    );
    assert!(text(one.with_masks("student", &[[0; 8]; 51])).contains("at most 50 rows"));
    let nothing = "segmentation board: there are no values; give at least one image";
    assert_eq!(text(small().with_masks("truth", &[[0; 8]; 0])), nothing);
    assert_eq!(small().png().unwrap_err().to_string(), nothing);
}

#[test]
fn rows_of_images_stand_behind_their_names() {
    let grey: Vec<u8> = vec![10, 20, 30, 40];
    let colour: Vec<u8> = (0..12).map(|at| at * 20).collect();
    let rows = ImageRows::new([2, 2])
        .unwrap()
        .with_row("cat", &[&grey, &grey])
        .unwrap()
        .with_row("nobody", &[[0; 4]; 0])
        .unwrap()
        .with_row("dog", &[&colour])
        .unwrap();
    let picture = image::load_from_memory(&rows.png().unwrap())
        .unwrap()
        .into_rgb8();
    // Three rows of 72 pixels with 4 between; 2 columns of 72 behind the widest name.
    assert_eq!(picture.height(), 3 * 72 + 2 * 4 + 2 * 16);
    let left = picture.width() - 16 - 2 * 72 - 4;
    assert_eq!(picture.get_pixel(left, 16), &Rgb([10; 3]));
    assert_eq!(picture.get_pixel(left + 71, 16 + 71), &Rgb([40; 3]));
    assert_eq!(picture.get_pixel(left + 76, 16), &Rgb([10; 3]));
    let third = 16 + 2 * 76;
    assert_eq!(picture.get_pixel(left, third), &Rgb([0, 80, 160]));
    assert_eq!(
        picture.get_pixel(left + 36, third + 36),
        &Rgb([60, 140, 220])
    );
    assert_eq!(picture.get_pixel(left + 80, third), &Rgb([255; 3]));
    assert_eq!(rows.png().unwrap(), rows.png().unwrap());
    // One that is wider than it is shown, and what does not fit.
    let wide = ImageRows::new([50, 100]).unwrap();
    let wide = wide.with_row("", &[vec![9; 5000]]).unwrap();
    let picture = image::load_from_memory(&wide.png().unwrap()).unwrap();
    assert_eq!(picture.height(), 36 + 2 * 16);
    let text = |outcome: Result<ImageRows, Error>| outcome.unwrap_err().to_string();
    assert_eq!(
        text(rows.clone().with_row("x", &[[0; 5]])),
        "an image of a picture of images in rows: expected 12 entries, got 5; give one or three channels of \
         2x2 pixels"
    );
    assert!(
        text(rows.with_row("x", &[[0; 4]; 41])).contains("at most 100 rows of 40, got 41 in row 4")
    );
    assert_eq!(
        ImageRows::new([2, 2])
            .unwrap()
            .png()
            .unwrap_err()
            .to_string(),
        "a picture of images in rows: there are no values; give at least one image"
    );
}

/// With `KD_BOARD` set to a file the picture is written there, to be looked at.
#[test]
fn real_streets_can_be_shown() {
    let Some(folder) = std::env::var_os("KD_DATA").filter(|folder| !folder.is_empty()) else {
        drop(std::io::stderr().write_all(b"SKIPPED: real_streets_can_be_shown needs KD_DATA\n"));
        return;
    };
    let roots = DataRoots {
        env: Some(PathBuf::from(folder)),
        ..DataRoots::default()
    };
    let info = DatasetInfo::find("camvid").unwrap();
    let info = info.with_size([180, 240]).unwrap();
    let data = match info.load(Split::Validation, &roots) {
        Ok(data) => data,
        Err(error @ CoreError::DataMissing { .. }) => {
            let line = format!("SKIPPED: real_streets_can_be_shown: {error}\n");
            drop(std::io::stderr().write_all(line.as_bytes()));
            return;
        }
        Err(error) => panic!("{error}"),
    };
    let ids = [3, 40, 77];
    let images = ids.map(|id| data.image(id).unwrap());
    let masks = ids.map(|id| data.mask(id).unwrap());
    // As a coarse network might see them: every eighth pixel.
    let coarse = masks.map(|mask| {
        let at = |at: usize| mask[(at / 240 / 8 * 8 + 4).min(179) * 240 + at % 240 / 8 * 8 + 4];
        (0..mask.len()).map(at).collect::<Vec<u8>>()
    });
    let board = SegmentationBoard::new([180, 240], &CAMVID_CLASSES)
        .and_then(|board| board.with_images("input", &images))
        .and_then(|board| board.with_masks("truth", &masks))
        .and_then(|board| board.with_masks("student (36 images)", &coarse))
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = std::env::var_os("KD_BOARD").map_or(folder.path().join("board.png"), PathBuf::from);
    board.write(&file).unwrap();
    let picture = image::open(&file).unwrap();
    assert!(picture.width() > 700 && picture.height() > 540);
}
