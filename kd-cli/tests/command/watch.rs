//! `kd watch`: pages about runs as they are now, and nothing else.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use crate::support::Place;

/// An answer of the server.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

/// `kd watch` under way.
struct Watch {
    process: std::process::Child,
    port: u16,
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

impl Watch {
    fn start(place: &Place, args: &[&str]) -> Self {
        let mut process = place.command(&[&["watch"], args].concat()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let said: serde_json::Value = serde_json::from_str(&line).unwrap();
        let url = said["url"].as_str().unwrap();
        let port = url.trim_end_matches('/').rsplit(':').next().unwrap();
        assert_eq!(url, format!("http://127.0.0.1:{port}/"));
        let port = port.parse().unwrap();
        Self { process, port }
    }

    fn send(&self, request: &str) -> Answer {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer {
            status,
            head: head.to_owned(),
            body: body.to_owned(),
        }
    }

    fn get_from(&self, path: &str, host: &str) -> Answer {
        self.send(&format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        ))
    }

    fn get(&self, path: &str) -> Answer {
        self.get_from(path, &format!("127.0.0.1:{}", self.port))
    }

    /// Asks until a page holds a text.
    fn wait_for(&self, path: &str, text: &str) -> Answer {
        let began = Instant::now();
        loop {
            let answer = self.get(path);
            if answer.body.contains(text) {
                return answer;
            }
            assert!(
                began.elapsed() < Duration::from_mins(1),
                "`{text}` is not in\n{}",
                answer.body
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// A run under way, of hostile names, made without training.
fn begin(place: &Place, name: &str, epochs: usize) {
    let folder = place.path(name);
    std::fs::create_dir_all(&folder).unwrap();
    let recipe =
        "method = \"train\"\nseed = 0\n\n[train]\nepochs = 9\n# <script>alert(1)</script>\n";
    std::fs::write(folder.join("recipe.toml"), recipe).unwrap();
    std::fs::write(folder.join("run.lock"), "").unwrap();
    let lines: String = (0..epochs).map(line).collect();
    std::fs::write(folder.join("metrics.jsonl"), lines).unwrap();
}

fn line(epoch: usize) -> String {
    let accuracy = 0.5 + 0.01 * epoch as f64;
    format!(
        "{{\"phase\":\"train\",\"epoch\":{epoch},\"step\":{},\"lr\":0.1,\"train\":{{\"total\":2.5}},\
         \"evaluation\":{{\"accuracy\":{accuracy}}},\"seconds\":{}.5}}\n",
        5 * epoch + 5,
        epoch
    )
}

/// The next epoch ends.
fn go_on(place: &Place, name: &str, epoch: usize) {
    let path = place.path(name).join("metrics.jsonl");
    let mut file = std::fs::OpenOptions::new().append(true).open(path).unwrap();
    file.write_all(line(epoch).as_bytes()).unwrap();
}

fn revision(page: &str) -> String {
    let rest = page.split("data-revision=\"").nth(1).unwrap();
    rest.split('"').next().unwrap().to_owned()
}

/// All files with their sizes and times.
fn files(folder: &Path) -> BTreeMap<PathBuf, (u64, SystemTime)> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let metadata = path.metadata().unwrap();
        if metadata.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path, (metadata.len(), metadata.modified().unwrap()));
        }
    }
    found
}

#[test]
fn a_new_epoch_is_shown_and_nothing_is_written() {
    let place = Place::new();
    begin(&place, "run", 2);
    let watch = Watch::start(&place, &["run", "--json"]);
    let page = watch.get("/");
    assert_eq!(page.status, 200);
    assert!(
        page.body.contains("<dt>epoch</dt><dd>2 of 9</dd>"),
        "{}",
        page.body
    );
    assert!(page.body.contains("51.00 %") && page.body.contains("&lt;script&gt;alert(1)"));
    assert!(page.head.contains("cache-control: no-store") && page.head.contains("nosniff"));
    let since = revision(&page.body);
    let address = format!("/?since={since}");
    assert_eq!(watch.get(&address).status, 204);
    go_on(&place, "run", 2);
    let before = files(&place.path(""));
    let part = watch.wait_for(&address, "<dd>3 of 9</dd>");
    assert!(part.body.starts_with("<main data-revision") && !part.body.contains("<html"));
    assert_ne!(revision(&part.body), since);
    // A run that is damaged is told about, and shown again when it is whole.
    let path = place.path("run/metrics.jsonl");
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, "{<b>\n").unwrap();
    watch.wait_for(&address, "metrics.jsonl");
    std::fs::write(&path, &whole).unwrap();
    watch.wait_for(&address, "<dd>3 of 9</dd>");
    let names = |files: &BTreeMap<PathBuf, _>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&files(&place.path(""))), names(&before));
}

#[test]
fn pages_go_on_when_it_is_started_again() {
    let place = Place::new();
    begin(&place, "run", 1);
    let before = files(&place.path(""));
    let watch = Watch::start(&place, &["run", "--json"]);
    let (port, since) = (watch.port, revision(&watch.get("/").body));
    drop(watch);
    let watch = Watch::start(&place, &["run", "--json"]);
    assert_eq!(watch.port, port);
    assert_eq!(watch.get(&format!("/?since={since}")).status, 204);
    assert_eq!(files(&place.path("")), before);
}

#[test]
fn runs_stand_side_by_side() {
    let place = Place::new();
    begin(&place, "runs/kd/seed0", 3);
    begin(&place, "runs/alone", 2);
    begin(&place, "other", 2);
    std::fs::write(place.path("runs/alone/report.html"), "<p>the report").unwrap();
    let watch = Watch::start(&place, &["runs", "other", "--json"]);
    let home = watch.get("/").body;
    for name in ["runs/kd/seed0", "runs/alone", "other"] {
        assert!(home.contains(&format!("\">{name}</a>")), "{home}");
    }
    assert!(home.contains("Held-out accuracy"));
    let of = |name: &str| {
        let before = home.split(&format!("\">{name}</a>")).next().unwrap();
        before.rsplit("href=\"").next().unwrap().to_owned()
    };
    assert!(
        watch
            .get(&of("runs/kd/seed0"))
            .body
            .contains("<dd>3 of 9</dd>")
    );
    let alone = watch.get(&of("runs/alone")).body;
    let report = format!("{}/report.html", of("runs/alone"));
    assert!(alone.contains(&report));
    assert_eq!(watch.get(&report).body, "<p>the report");
    assert_eq!(
        watch.get(&format!("{}/report.html", of("other"))).status,
        404
    );
    // A run that begins later is there, too.
    begin(&place, "runs/late", 2);
    watch.wait_for("/", "\">runs/late</a>");
}

#[test]
fn nothing_else_is_answered() {
    let place = Place::new();
    begin(&place, "run", 1);
    std::fs::write(place.path("secret.html"), "secret").unwrap();
    let watch = Watch::start(&place, &["run", "--json"]);
    let port = watch.port;
    for path in [
        "/recipe.toml",
        "/../secret.html",
        "/%2e%2e/secret.html",
        "/run/../../secret.html",
        "//etc/passwd",
        "/0123456789abcdef",
        "/0123456789abcdef/report.html",
        "/..%2fsecret.html",
        "/index.html",
    ] {
        let answer = watch.get(path);
        assert!(
            answer.status >= 400 && !answer.body.contains("secret"),
            "{path}: {}",
            answer.status
        );
    }
    for host in ["evil.example", "evil.example:80", "127.0.0.1", "localhost"] {
        assert_eq!(watch.get_from("/", host).status, 421, "{host}");
    }
    assert_eq!(
        watch.get_from("/", &format!("localhost:{port}")).status,
        200
    );
    for method in ["POST", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"] {
        let answer = watch.send(&format!(
            "{method} / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        ));
        assert_eq!(answer.status, 405, "{method}");
        assert!(answer.head.contains("allow: GET"), "{}", answer.head);
    }
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(place.path("secret.html"), place.path("run/report.html"))
            .unwrap();
        let home = watch.get("/").body;
        assert!(!home.contains("report.html"), "{home}");
    }
}

#[test]
fn a_port_that_is_taken_and_a_folder_that_is_not_there_are_errors() {
    let place = Place::new();
    begin(&place, "run", 1);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let said = place.run(&["watch", "run", "--port", &port]);
    assert_eq!(said.code, Some(2));
    assert!(
        said.stderr
            .contains(&format!("`--port` is {port}, which cannot be used")),
        "{}",
        said.stderr
    );
    assert_eq!(place.run(&["watch", "nowhere"]).code, Some(3));
}
