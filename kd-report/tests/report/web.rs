//! The page of a run in HTML: one file that stands alone, whatever names it is given and however large the
//! run is.

use kd_core::{EpochLog, Metrics};
use kd_report::{
    Align, ConfusionPlot, CountPlot, DotPlot, LinePlot, Picture, Predictions, RunReport,
    SampleImages, Section, Series, Table, WebPage,
};

/// What would break out of text, attributes, scripts and drawings, and hide what it is.
const HOSTILE: [&str; 7] = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "' onmouseover='alert(1)",
    "</style></svg></title></table>",
    "]]>--><!--",
    "a\u{0}b\u{1b}[2Jc\u{202e}d\u{7}",
    "&lt;b&gt; &#60;i&#62; `code` **x**",
];

fn metrics(values: &[(&str, f64)]) -> Metrics {
    values
        .iter()
        .map(|(name, value)| ((*name).to_owned(), *value))
        .collect()
}

fn epoch(phase: &str, number: usize, values: &[(&str, f64)]) -> EpochLog {
    EpochLog {
        phase: phase.into(),
        epoch: number,
        step: 10 * (number + 1),
        lr: 0.1,
        train: metrics(&[
            ("kd", 2.0 / (number + 1) as f64),
            ("total", 3.0 / (number + 1) as f64),
        ]),
        evaluation: Some(metrics(values)),
        seconds: 1.5 * (number + 1) as f64,
    }
}

/// Predictions of many classes: every third sample is wrong, the teacher on others than the student.
fn predictions(classes: usize, samples: usize) -> Predictions {
    let mut said = Predictions::new(classes).unwrap();
    for id in 0..samples {
        let target = id % classes;
        let answer = |class: usize, by: f32| {
            let mut logits = vec![0.0; classes];
            logits[class % classes] = by;
            logits
        };
        let student = answer(
            target + usize::from(id % 3 == 0) * (1 + id % 5),
            4.0 + (id % 7) as f32,
        );
        let teacher = answer(target + usize::from(id % 4 == 0) * (1 + id % 3), 6.0);
        said.add(&[id], &[target], &student, Some(&teacher))
            .unwrap();
    }
    said
}

/// The values of all attributes of a name.
fn attributes<'a>(html: &'a str, name: &str) -> Vec<&'a str> {
    let before = format!(" {name}=\"");
    let all = html.split(before.as_str()).skip(1);
    all.map(|rest| rest.split('"').next().unwrap()).collect()
}

/// Tags by name, without what stands in the page's own script and style.
fn tags(html: &str) -> Vec<String> {
    let end = html.find("<script>").unwrap();
    let style = html.find("<style>").unwrap()..html.find("</style>").unwrap();
    let body = format!("{}{}", &html[..style.start], &html[style.end..end]);
    let names = body.split('<').skip(1).map(|rest| {
        let name = rest.split(|c: char| c.is_whitespace() || c == '>').next();
        name.unwrap().to_owned()
    });
    names.collect()
}

/// Checks that a page asks for nothing from elsewhere and runs nothing but its own script.
fn stands_alone(html: &str) {
    for name in ["src", "href"] {
        for value in attributes(html, name) {
            let is_own = value.starts_with("data:") || value.starts_with('#');
            assert!(is_own, "{name}={value}");
        }
    }
    assert!(html.contains("default-src 'none'") && html.contains("connect-src 'none'"));
    let tags = tags(html);
    for name in [
        "script",
        "iframe",
        "object",
        "embed",
        "form",
        "base",
        "b",
        "i",
        "img onerror",
    ] {
        assert!(tags.iter().all(|tag| tag != name), "<{name}>");
    }
    // The policy allows no style in attributes; a script in one would stand there as ` on...=`.
    assert!(attributes(html, "style").is_empty());
    for name in ["onerror", "onmouseover", "onload", "onclick"] {
        assert!(attributes(html, name).is_empty(), "{name}");
    }
    let hidden = |c: char| {
        (c.is_control() && c != '\n' && c != '\t') || ('\u{202a}'..='\u{202e}').contains(&c)
    };
    assert!(!html.contains(hidden));
}

/// A run whose every name is hostile.
fn hostile() -> RunReport {
    let names: Vec<String> = HOSTILE.iter().map(|name| (*name).to_owned()).collect();
    let mut report = RunReport::new(HOSTILE[0]).with_recipe(HOSTILE.join("\n"));
    let mut epochs = Vec::new();
    for name in HOSTILE {
        report = report
            .with_fact(name, name)
            .with_cost(name, name)
            .with_input(name, name)
            .with_remark(name);
        epochs.extend(
            (0..2).map(|number| epoch(name, number, &[(name, number as f64), ("accuracy", 0.5)])),
        );
    }
    let said = predictions(names.len(), 60);
    let images = said
        .shown()
        .into_iter()
        .fold(SampleImages::new([2, 2]), |images, id| {
            images.with(id, &[7; 4]).unwrap()
        });
    let mut table = Table::new([(HOSTILE[1], Align::Left), (HOSTILE[2], Align::Right)]);
    let note = table.note(HOSTILE[3]);
    table
        .row([HOSTILE[4], &format!("{}{note}", HOSTILE[0])])
        .unwrap();
    let space = "xmlns=\"http://www.w3.org/2000/svg\" width=\"9\" height=\"9\"";
    let drawing = format!("<svg {space}>{}</svg>", HOSTILE[0]);
    let section = Section::new(HOSTILE[0])
        .with_text(HOSTILE[6])
        .with_warning(HOSTILE[0])
        .with_table(table)
        .with_picture("svg", HOSTILE[1], Picture::Svg(drawing));
    let section = pictures().into_iter().fold(section, |section, picture| {
        section.with_picture("plot", HOSTILE[0], picture)
    });
    report
        .with_epochs(epochs)
        .with_predictions(said, Some(&names))
        .unwrap()
        .with_sample_images(images)
        .with_section(section)
}

/// Plots of every kind with hostile names.
fn pictures() -> [Picture; 4] {
    let [a, b, c, ..] = HOSTILE;
    let lines = LinePlot::new(a, b, c).with_series(Series::new(a, [(1, 2), (2, 3)]));
    let dots = DotPlot::new(a, b, [c, a])
        .with_row(b, [vec![1.0, 2.0], vec![3.0]])
        .with_reference(a, 2.0);
    let counts = CountPlot::new(a, b).with_row(c, 3).with_reference(a, 2.0);
    let confusion = ConfusionPlot::new(a, &[vec![1, 2], vec![3, 4]], &[b, c]).unwrap();
    [
        Picture::lines(lines).unwrap(),
        Picture::dots(dots).unwrap(),
        Picture::counts(counts).unwrap(),
        Picture::confusion(confusion).unwrap(),
    ]
}

#[test]
fn hostile_names_are_text() {
    let page = hostile().web_page().unwrap();
    let html = page.html();
    stands_alone(&html);
    assert!(html.contains("<h1>&lt;script&gt;alert(1)&lt;/script&gt;</h1>"));
    assert!(html.contains("a\\u{0}b\\u{1b}[2Jc\\u{202e}d\\u{7}"));
    let links = vec![[
        HOSTILE[1].to_owned(),
        format!("/{}", HOSTILE[1]),
        HOSTILE[0].to_owned(),
    ]];
    let live = page.with_links(links).live_html(HOSTILE[1]);
    assert!(!live.contains("<img src=x") && !live.contains("<script>alert"));
    assert!(live.contains("connect-src 'self'"));
}

#[test]
fn the_page_of_a_run_is_written_beside_the_other_and_is_the_same_again() {
    let names = ["cat", "dog", "cow"].map(str::to_owned);
    let said = predictions(3, 40);
    let shown = said.shown();
    let mut images = SampleImages::new([130, 260]);
    for id in &shown {
        images = images.with(*id, &vec![90; 3 * 130 * 260]).unwrap();
    }
    let at = |number: usize| {
        epoch(
            "distill",
            number,
            &[("accuracy", 0.25 + 0.25 * number as f64), ("loss", 1.5)],
        )
    };
    let report = RunReport::new("run")
        .with_fact("teacher", "resnet20, from `teacher.safetensors`")
        .with_epochs(vec![at(0), at(1)])
        .with_predictions(said, Some(&names))
        .unwrap()
        .with_sample_images(images)
        .with_input("data", "0123")
        .with_recipe("method = \"offline\"\n");
    let folder = tempfile::tempdir().unwrap();
    report.write(folder.path()).unwrap();
    let html = std::fs::read_to_string(folder.path().join("report.html")).unwrap();
    assert_eq!(html, report.web_page().unwrap().html());
    stands_alone(&html);
    for text in [
        "<dt>accuracy</dt><dd>50.00 %</dd><dd class=\"muted\">best 50.00 % after epoch 2</dd>",
        "<dt>teacher's accuracy</dt><dd>82.50 %</dd>",
        "<dt>time</dt><dd>3.0 s</dd>",
        "<code>teacher.safetensors</code>",
        "<th scope=\"row\">1</th><td class=\"r\">25</td>",
        "of 40 samples on the diagonal",
        "Where it is surest and wrong",
        "Where the teacher beats the student most clearly",
        "Samples by the student's confidence",
        "method = &quot;offline&quot;",
        "alt=\"sample ",
    ] {
        assert!(html.contains(text), "`{text}` is missing in\n{html}");
    }
    // Each picture has words for who cannot see it, and an image is made small.
    assert_eq!(
        attributes(&html, "src").len(),
        attributes(&html, "alt").len()
    );
    assert!(attributes(&html, "src").iter().all(|uri| uri.len() < 2000));
    let left_over: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .flatten()
        .collect();
    assert_eq!(left_over.len(), 3, "{left_over:?}");
}

#[test]
fn a_large_run_has_a_small_page() {
    let classes = 1000;
    let names: Vec<String> = (0..classes)
        .map(|class| format!("a class of some length {class}"))
        .collect();
    let said = predictions(classes, 10_000);
    // Images of noise, which no compression makes small.
    let noise = |id: usize, at: usize| {
        let value = id * 7919 + at * at * 31 + at * 104_729 / 7 % 251;
        u8::try_from(value % 256).unwrap()
    };
    let shown = said.shown();
    let images = shown
        .iter()
        .fold(SampleImages::new([224, 224]), |images, &id| {
            let pixels: Vec<u8> = (0..3 * 224 * 224).map(|at| noise(id, at)).collect();
            images.with(id, &pixels).unwrap()
        });
    let epochs = (0..300).map(|number| {
        let part = number as f64 / 300.0;
        let values = [
            ("accuracy", part),
            ("agreement", 0.9 * part),
            ("top5_accuracy", part.sqrt()),
            ("loss", 7.0 - part),
            ("ece", 0.1 * part),
            ("teacher_loss", 1.0 + part),
            ("kl", 3.0 - part),
            ("entropy", 1.0 / (part + 0.1)),
        ];
        epoch("distill", number, &values)
    });
    let report = RunReport::new("imagenet")
        .with_epochs(epochs.collect())
        .with_predictions(said, Some(&names))
        .unwrap()
        .with_sample_images(images);
    let html = report.web_page().unwrap().html();
    stands_alone(&html);
    assert!(html.len() < 3_000_000, "{} bytes", html.len());
    assert!(html.contains("Of 1,000 classes, the 24 of the largest confusions."));
    // Elements are what a browser spends its time on.
    let elements = html.matches('<').count() / 2;
    assert!(elements < 20_000, "{elements}");
    if let Ok(place) = std::env::var("KD_PAGES") {
        std::fs::write(std::path::Path::new(&place).join("large.html"), &html).unwrap();
        let html = hostile().web_page().unwrap().html();
        std::fs::write(std::path::Path::new(&place).join("hostile.html"), html).unwrap();
    }
}

#[test]
fn a_run_without_anything_has_a_page() {
    let html = RunReport::new("run")
        .with_remark("The run is not done.")
        .web_page()
        .unwrap()
        .html();
    stands_alone(&html);
    assert!(html.contains("<h1>run</h1><p>The run is not done.</p>"));
    assert_eq!(WebPage::new("run").html().matches("<section").count(), 0);
}

#[test]
fn an_image_must_have_its_size() {
    let error = SampleImages::new([2, 2]).with(0, &[0; 5]).unwrap_err();
    let text =
        "an image of a page: expected 12 entries, got 5; give one or three channels of 2x2 pixels";
    assert_eq!(error.to_string(), text);
}
