//! Plots: the same bytes each time, texts inside and escaped, errors in words.

use kd_report::{ConfusionPlot, CountPlot, DotPlot, Error, LinePlot, Scale, Series, Summary};

fn lines() -> LinePlot {
    let curve = |shift: f64| (1..40).map(move |epoch| (epoch, 80.0 - shift / f64::from(epoch)));
    LinePlot::new("Held-out accuracy", "epoch", "accuracy (%)")
        .with_series(Series::new("student", curve(30.0)))
        .with_series(Series::new("kd", curve(20.0)))
}

fn band() -> Series {
    let point = |x: f64, values: &[f64]| (x, Summary::of(values).unwrap());
    let points = [
        point(1.0, &[1.0, 3.0]),
        point(2.0, &[2.0]),
        point(4.0, &[1.0, 1.5]),
    ];
    Series::of_summaries("band", points)
}

fn confusion(classes: usize) -> ConfusionPlot {
    let rows: Vec<Vec<u64>> = (0..classes)
        .map(|row| {
            (0..classes)
                .map(|column| ((row * 7 + column) % 5) as u64)
                .collect()
        })
        .collect();
    let names: Vec<String> = (0..classes).map(|class| format!("class {class}")).collect();
    ConfusionPlot::new("Confusion", &rows, &names).unwrap()
}

fn dots() -> DotPlot {
    DotPlot::new("Seeds", "accuracy (%)", ["last", "best"])
        .with_row("student", [vec![1.0, 2.0, 4.0], vec![]])
        .with_row("kd", [vec![3.0], vec![4.0, 4.5]])
        .with_reference("teacher", 5.0)
}

fn counts() -> CountPlot {
    CountPlot::new("Classes", "images")
        .with_row("cat", 1204)
        .with_row(
            "a very long name of a class that is cut where it does not fit",
            0,
        )
        .with_row("dog", 301)
        .with_reference("an equal share", 500.0)
}

/// Each text of a picture with its place, and whether it is turned.
fn texts(svg: &str) -> Vec<(String, f64, f64, bool)> {
    let number = |tag: &str, name: &str| {
        let rest = tag.split(&format!(" {name}=\"")).nth(1).unwrap();
        rest.split('"').next().unwrap().parse::<f64>().unwrap() / 10.0
    };
    svg.split("<text")
        .skip(1)
        .map(|rest| {
            let (tag, rest) = rest.split_once('>').unwrap();
            let text = rest.split("</text>").next().unwrap().trim().to_owned();
            (
                text,
                number(tag, "x"),
                number(tag, "y"),
                tag.contains("rotate"),
            )
        })
        .collect()
}

fn size(svg: &str) -> (f64, f64) {
    let number = |name: &str| {
        let rest = svg.split(&format!("{name}=\"")).nth(1).unwrap();
        rest.split('"').next().unwrap().parse().unwrap()
    };
    (number("width"), number("height"))
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    assert_eq!(lines().svg().unwrap(), lines().svg().unwrap());
    assert_eq!(dots().svg().unwrap(), dots().svg().unwrap());
    assert_eq!(counts().svg().unwrap(), counts().svg().unwrap());
    assert_eq!(confusion(7).svg().unwrap(), confusion(7).svg().unwrap());
    assert_ne!(confusion(7).svg().unwrap(), confusion(8).svg().unwrap());
}

#[test]
fn every_text_begins_inside_the_picture() {
    let one = LinePlot::new("", "x", "y").with_series(Series::new("", [(3.0, 0.0)]));
    let pictures = [
        lines().svg(),
        lines().with_series(band()).with_size(240, 240).svg(),
        one.svg(),
        dots().svg(),
        dots().with_width(300).svg(),
        counts().svg(),
        counts().with_width(240).svg(),
        CountPlot::new("", "").with_row("", 0).svg(),
        confusion(1).svg(),
        confusion(2).svg(),
        confusion(10).svg(),
        confusion(41).svg(),
        confusion(300).svg(),
    ];
    for picture in pictures {
        let svg = picture.unwrap();
        let (width, height) = size(&svg);
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
        for (text, x, y, _) in texts(&svg) {
            let inside = (0.0..=width).contains(&x) && (0.0..=height).contains(&y);
            assert!(inside, "`{text}` at {x}, {y} of {width} by {height}");
        }
    }
}

#[test]
fn names_and_numbers_are_there() {
    let svg = lines().svg().unwrap();
    let shown: Vec<String> = texts(&svg).into_iter().map(|text| text.0).collect();
    let expected = [
        "Held-out accuracy",
        "student",
        "kd",
        "epoch",
        "accuracy (%)",
        "10",
        "30",
        "60",
    ];
    for text in expected {
        assert!(shown.iter().any(|shown| shown == text), "{text}: {shown:?}");
    }
    let shown = texts(&confusion(3).svg().unwrap());
    assert!(shown.iter().any(|text| text.0 == "class 2" && text.3));
    assert!(shown.iter().any(|text| text.0 == "class 2" && !text.3));
    assert!(shown.iter().any(|text| text.0 == "4"));
}

#[test]
fn bars_begin_at_nothing_and_end_at_their_number() {
    let svg = counts().svg().unwrap();
    let number = |tag: &str, name: &str| -> f64 {
        let rest = tag.split(&format!(" {name}=\"")).nth(1).unwrap();
        rest.split('"').next().unwrap().parse().unwrap()
    };
    // The left end and the length of each bar; the first rectangle is the paper.
    let bars: Vec<[f64; 2]> = svg
        .split("<rect")
        .skip(2)
        .map(|tag| ["x", "width"].map(|name| number(tag, name)))
        .collect();
    assert_eq!(bars.len(), 3);
    assert!(bars.iter().all(|bar| (bar[0] - bars[0][0]).abs() < 0.5));
    let lengths = [1204.0, 0.0, 301.0].map(|count| count / 1204.0 * bars[0][1]);
    for (bar, expected) in bars.iter().zip(lengths) {
        assert!((bar[1] - expected).abs() < 2.0, "{bars:?}");
    }
    let shown = texts(&svg);
    for count in ["1204", "0", "301"] {
        assert!(shown.iter().any(|text| text.0 == count), "{count}");
    }
    let said = CountPlot::new("Classes", "images").svg().unwrap_err();
    assert_eq!(
        said.to_string(),
        "plot `Classes`: there are no values; give it a row"
    );
    let nan = counts()
        .with_reference("a share", f64::NAN)
        .svg()
        .unwrap_err();
    assert!(
        nan.to_string()
            .contains("reference `a share`: value 0 is NaN"),
        "{nan}"
    );
}

#[test]
fn of_many_classes_every_tenth_is_named() {
    let shown = texts(&confusion(100).svg().unwrap());
    let named = shown
        .iter()
        .filter(|text| text.0.starts_with("class "))
        .count();
    assert_eq!(named, 20);
}

#[test]
fn markup_in_a_text_is_escaped() {
    let name = "<script>alert('&\u{1}\")</script>";
    let svgs = [
        LinePlot::new(name, name, name)
            .with_series(Series::new(name, [(1, 2)]))
            .svg(),
        DotPlot::new(name, name, [name])
            .with_row(name, [vec![1.0]])
            .svg(),
        ConfusionPlot::new(name, &[vec![1]], &[name]).unwrap().svg(),
    ];
    for svg in svgs {
        let svg = svg.unwrap();
        assert!(!svg.contains("<script") && svg.contains("&lt;script"));
        assert!(!svg.contains('\u{1}'));
    }
}

#[test]
fn texts_of_a_legend_do_not_touch_and_the_lines_lie_below_it() {
    let mut plot = lines();
    for number in 0..7 {
        plot = plot.with_series(Series::new(format!("method {number}"), [(1, 79), (39, 79)]));
    }
    let svg = plot.svg().unwrap();
    let legend: Vec<_> = texts(&svg)
        .into_iter()
        .filter(|text| text.0.starts_with("method") || text.0 == "kd")
        .collect();
    for pair in legend.windows(2) {
        let same_line = (pair[0].2 - pair[1].2).abs() < 1.0;
        assert!(!same_line || pair[1].1 - pair[0].1 > 60.0, "{pair:?}");
    }
    let lowest = legend.iter().map(|text| text.2).fold(0.0, f64::max);
    let grid = texts(&svg).into_iter().find(|text| text.0 == "80").unwrap();
    assert!(grid.2 > lowest + 10.0);
}

#[test]
fn what_cannot_be_drawn_is_said_in_words() {
    let empty = LinePlot::new("Loss", "epoch", "loss");
    let said = |result: Result<String, Error>| result.unwrap_err().to_string();
    assert_eq!(
        said(empty.clone().svg()),
        "plot `Loss`: there are no values; give it at least one series"
    );
    let no_point = Series::new("kd", Vec::<(f64, f64)>::new());
    assert_eq!(
        said(empty.clone().with_series(no_point).svg()),
        "plot `Loss`, series `kd`: there are no values; give it a point or leave the series out"
    );
    let nan = Series::new("kd", [(0.0, 1.0), (1.0, f64::NAN)]);
    assert_eq!(
        said(empty.clone().with_series(nan).svg()),
        "plot `Loss`, series `kd`: value 1 is NaN; every value must be finite and at most 1e100, leave the \
         others out"
    );
    let zero = Series::new("kd", [(0.0, 1.0), (1.0, 2.0)]);
    assert_eq!(
        said(
            empty
                .clone()
                .with_series(zero)
                .with_x_scale(Scale::Log)
                .svg()
        ),
        "plot `Loss`, horizontal axis: 0 has no place on a logarithmic axis; use values above 0, or \
         `Scale::Linear`"
    );
    assert_eq!(
        said(lines().with_size(100, 400).svg()),
        "`size` must be 240 to 4000 pixels wide and high, got 100 by 400"
    );
    let short = DotPlot::new("Seeds", "x", ["a", "b"]).with_row("kd", [vec![1.0]]);
    assert_eq!(
        said(short.svg()),
        "plot `Seeds`, row `kd`: expected 2 entries, got 1; give one list of values for each group, an empty \
         one where it has none"
    );
    let nothing = DotPlot::new("Seeds", "x", ["a"]).with_row("kd", [vec![]]);
    assert_eq!(
        said(nothing.svg()),
        "plot `Seeds`: there are no values; give it a row with a value"
    );
    let uneven = ConfusionPlot::new("C", &[vec![1, 2], vec![1]], &["a", "b"]).unwrap_err();
    assert_eq!(
        uneven.to_string(),
        "plot `C`, columns: expected 2 entries, got 1; give one for each class"
    );
    assert!(ConfusionPlot::new("C", &[], &[""; 0]).is_err());
    assert!(ConfusionPlot::new("C", &[vec![1]], &["a", "b"]).is_err());
}

#[test]
fn extreme_values_are_drawn_or_refused() {
    let plot = |points: &[(f64, f64)]| {
        let series = Series::new("x", points.iter().copied());
        LinePlot::new("", "x", "y").with_series(series).svg()
    };
    for points in [
        [(0.0, 1e100), (1.0, -1e100)],
        [(0.0, 1e-300), (1.0, 2e-300)],
        [(1e15, 1.0), (1e15 + 1.0, 1.0 + f64::EPSILON)],
        [(-0.0, -0.0), (0.0, 0.0)],
    ] {
        let svg = plot(&points).unwrap();
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{points:?}");
    }
    assert!(plot(&[(0.0, 1e101)]).is_err());
    assert!(plot(&[(f64::INFINITY, 0.0)]).is_err());
}
