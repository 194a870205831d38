//! What is sent to do harm, or by mistake: refused with a reason, and nothing is left of it.

use castari_common::agents::AgentStatus;
use castari_tests::Castari;
use castari_tests::archive::{Tar, bomb, files, gzip, manifest, script};
use serde_json::json;
use tar::EntryType;

/// Builders of archives give themselves back, for chains; here nobody wants them.
fn discard(_: &mut Tar) {}

#[expect(clippy::too_many_lines, reason = "a table")]
/// Archives that are refused, with a word of the reason.
fn bad_archives() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let with = |add: &dyn Fn(&mut Tar)| {
        let mut tar = Tar::agent();
        add(&mut tar);
        tar.gzip()
    };
    let entry =
        |kind, path: &'static str, target: &'static str| with(&move |tar| discard(tar.entry(kind, path, target, b"")));
    let fine = script("console.log(1)");
    let random: Vec<u8> = (0..4096_u32)
        .map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    vec![
        (
            "parent",
            with(&|tar| discard(tar.file("../evil", b"x"))),
            "`../evil` points outside",
        ),
        (
            "inner parent",
            with(&|tar| discard(tar.file("a/../../evil", b"x"))),
            "points outside",
        ),
        (
            "parent that stays",
            with(&|tar| discard(tar.file("a/../b", b"x"))),
            "points outside",
        ),
        (
            "absolute",
            with(&|tar| discard(tar.file("/tmp/evil", b"x"))),
            "absolute",
        ),
        (
            "absolute folder",
            entry(EntryType::Directory, "/tmp/evil/", ""),
            "absolute",
        ),
        (
            "link out",
            with(&|tar| discard(tar.symlink("link", "../../etc/passwd"))),
            "`link` points outside",
        ),
        (
            "absolute link",
            with(&|tar| discard(tar.symlink("link", "/etc/passwd"))),
            "`link` points outside",
        ),
        (
            "link over itself",
            with(&|tar| discard(tar.symlink("a/b/link", "../../../x"))),
            "points outside",
        ),
        (
            "file through a link",
            with(&|tar| discard(tar.symlink("dir", "/tmp").file("dir/evil", b"x"))),
            "points outside",
        ),
        (
            "file through an inner link",
            with(&|tar| discard(tar.file("real/a", b"x").symlink("dir", "real").file("dir/evil", b"x"))),
            "",
        ),
        ("hard link", entry(EntryType::Link, "hard", "/etc/passwd"), "hard link"),
        (
            "inner hard link",
            entry(EntryType::Link, "hard", "castari.json"),
            "hard link",
        ),
        ("character device", entry(EntryType::Char, "null", ""), "device"),
        ("block device", entry(EntryType::Block, "disk", ""), "device"),
        ("pipe", entry(EntryType::Fifo, "pipe", ""), "special file"),
        ("pipe for a manifest", entry(EntryType::Fifo, "castari.json", ""), ""),
        (
            "file that is a folder",
            with(&|tar| discard(tar.file("a/b", b"x").file("a", b"x"))),
            "cannot be made",
        ),
        (
            "deep",
            {
                let mut tar = Tar::agent();
                let mut header = tar::Header::new_ustar();
                header.set_entry_type(EntryType::Regular);
                header.set_size(1);
                header.set_path(format!("{}x", "d/".repeat(70))).unwrap();
                header.set_cksum();
                tar.raw(&header, b"x");
                tar.gzip()
            },
            "deeper",
        ),
        ("bomb", bomb((1 << 30) + 1), "unpacks to more than 1024 MiB"),
        ("truncated", fine[..fine.len() / 2].to_vec(), "cannot be unpacked"),
        (
            "damaged",
            [&fine[..fine.len() / 2], &[0; 64], &fine[fine.len() / 2..]].concat(),
            "",
        ),
        ("not compressed", b"this is no archive".to_vec(), "cannot be unpacked"),
        ("noise", random.clone(), "cannot be unpacked"),
        ("compressed noise", gzip(&random), "cannot be unpacked"),
        ("empty", Vec::new(), ""),
        ("compressed nothing", gzip(b""), "castari.json is missing"),
        ("no manifest", files(&[("index.mjs", "")]), "castari.json is missing"),
        (
            "manifest in a folder",
            files(&[("a/castari.json", "{}"), ("b/x", "")]),
            "castari.json is missing",
        ),
        ("manifest is a folder", with_manifest_folder(), "castari.json"),
        (
            "broken manifest",
            files(&[("castari.json", "{\"name\":")]),
            "not valid JSON",
        ),
        ("list", files(&[("castari.json", "[]")]), "must hold a JSON object"),
        (
            "binary manifest",
            {
                let mut tar = Tar::new();
                tar.file("castari.json", b"\xff\xfe");
                tar.gzip()
            },
            "castari.json",
        ),
        (
            "huge manifest",
            files(&[("castari.json", &" ".repeat(2 << 20))]),
            "longer than",
        ),
        (
            "wrong types",
            files(&[(
                "castari.json",
                r#"{"name": 1, "version": [], "entrypoint": {}, "runtime": 2}"#,
            )]),
            "name: must be a string; version: must be a string; runtime: must be a string; entrypoint: must be a string",
        ),
        (
            "no entry point",
            files(&[("castari.json", r#"{"name": "x"}"#)]),
            "entrypoint: is missing",
        ),
        (
            "missing entry point",
            files(&[("castari.json", &manifest("a.mjs"))]),
            "there is no file `a.mjs`",
        ),
        (
            "entry point outside",
            files(&[("castari.json", &manifest("../a.mjs"))]),
            "entrypoint: `../a.mjs` points outside",
        ),
        (
            "absolute entry point",
            files(&[("castari.json", &manifest("/a.mjs"))]),
            "entrypoint: `/a.mjs` must be relative",
        ),
        (
            "folder as entry point",
            files(&[("castari.json", &manifest("a.mjs")), ("a.mjs/b", "")]),
            "there is no file `a.mjs`",
        ),
        (
            "option as entry point",
            files(&[("castari.json", &manifest("--eval=1.mjs"))]),
            "entrypoint",
        ),
        (
            "other runtime",
            files(&[("castari.json", r#"{"entrypoint": "a.py", "runtime": "python"}"#)]),
            "runtime: `python` is not supported",
        ),
        (
            "link in a circle",
            {
                let mut tar = Tar::new();
                tar.file("castari.json", manifest("a.mjs").as_bytes())
                    .symlink("a.mjs", "b.mjs")
                    .symlink("b.mjs", "a.mjs");
                tar.gzip()
            },
            "a.mjs",
        ),
        (
            "chain of links that leads out",
            {
                let mut tar = Tar::new();
                // Each of these stays inside by its own text; together they do not.
                tar.file("castari.json", manifest("a.mjs").as_bytes());
                tar.file("d/e/x", b"")
                    .symlink("s", "d/e")
                    .symlink("a.mjs", "s/../../../../../../etc/passwd");
                tar.gzip()
            },
            "",
        ),
        (
            "links that lead out together",
            {
                let mut tar = Tar::new();
                tar.file("castari.json", manifest("a/b/i.mjs").as_bytes());
                tar.file("x", b"")
                    .symlink("a/b", "../c")
                    .symlink("c", "d/e/f")
                    .symlink("d/e/f", "../..")
                    .symlink("i.mjs", "c/../castari.json");
                tar.gzip()
            },
            "points outside",
        ),
        (
            "links behind a link",
            {
                let mut tar = Tar::agent();
                tar.symlink("l", ".")
                    .symlink("l/l/l/l/out", "../../../../tmp/evil")
                    .symlink("out/inner", "castari.json");
                tar.gzip()
            },
            "behind a link",
        ),
        (
            "name that is read whole",
            {
                let mut tar = Tar::agent();
                tar.entry(EntryType::GNULongName, "././@LongLink", "", &vec![b'x'; 1 << 20]);
                tar.file("x", b"");
                tar.gzip()
            },
            "too long",
        ),
        (
            "manifest that is a link out",
            {
                let mut tar = Tar::new();
                tar.symlink("up", ".")
                    .symlink("castari.json", "up/../../../etc/passwd")
                    .file("a.mjs", b"");
                tar.gzip()
            },
            "",
        ),
    ]
}

fn with_manifest_folder() -> Vec<u8> {
    files(&[("castari.json/x", ""), ("index.mjs", "")])
}

/// A file that says it is of two gibibytes and holds nothing but a hole.
fn sparse_bomb() -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_path("hole").unwrap();
    header.set_entry_type(EntryType::GNUSparse);
    header.set_size(0);
    header.set_mode(0o644);
    let gnu = header.as_gnu_mut().unwrap();
    gnu.set_real_size(2 << 30);
    gnu.sparse[0].set_offset(2 << 30);
    gnu.sparse[0].set_length(0);
    header.set_cksum();
    let mut tar = Tar::agent();
    tar.raw(&header, b"");
    tar.gzip()
}

#[tokio::test]
async fn bad_archives_are_refused_and_leave_nothing() {
    let castari = Castari::start().await;
    castari.create("draft").await;
    castari.deploy_script("served", "console.log('still here')").await;
    let agents = castari.get("/agents").await.json();
    let outside = |path: &str| std::path::Path::new(path).exists();
    castari
        .settles("an archive and its code", |files| files.len() == 2)
        .await;
    let kept = castari.files();
    let mut wrong = Vec::new();
    for (name, archive, reason) in bad_archives() {
        for slug in ["draft", "served"] {
            let result = castari.client().upload_code(slug, archive.clone(), true).await;
            let Err(error) = result else {
                wrong.push(format!("{name}: was taken: {result:?}"));
                continue;
            };
            let Some(refusal) = error.refusal() else {
                wrong.push(format!("{name}: {error:?}"));
                continue;
            };
            let (status, code, detail) = (refusal.status, refusal.code.as_deref(), refusal.detail.to_string());
            if (status, code) != (400, Some("archive_invalid"))
                || !detail.contains(reason)
                || detail.contains("castari-e2e")
            {
                wrong.push(format!("{name}: {status} {code:?} {detail}"));
            }
            castari.keeps(&kept).await;
            if outside("/tmp/evil") || castari.data_dir().join("evil").exists() {
                wrong.push(format!("{name}: got out"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(castari.get("/agents").await.json(), agents);
    for slug in ["draft", "served"] {
        let deployments = castari.client().deployments(slug, <_>::default()).await.unwrap();
        assert!(deployments.meta.total <= 1, "a refused archive is no deployment");
    }
    assert_eq!(castari.invoke("served", "x").await.response_content, "still here\n");
}

#[tokio::test]
async fn holes_of_sparse_files_count() {
    let castari = Castari::start().await;
    castari.create("one").await;
    let refusal = castari.upload_refused("one", sparse_bomb()).await;
    assert_eq!(
        (refusal.status, refusal.code.as_deref()),
        (400, Some("archive_invalid"))
    );
    castari.keeps(&[]).await;
}

#[tokio::test]
async fn too_many_entries_are_refused() {
    let castari = Castari::start().await;
    castari.create("one").await;
    let mut tar = Tar::agent();
    for number in 0..100_000 {
        tar.entry(EntryType::Directory, &format!("{}", number % 10), "", b"");
    }
    let refusal = castari.upload_refused("one", tar.gzip()).await;
    assert_eq!(
        (refusal.status, refusal.code.as_deref()),
        (400, Some("archive_invalid"))
    );
    assert!(refusal.detail.to_string().contains("100000 entries"), "{refusal:?}");
    castari.keeps(&[]).await;
}

#[tokio::test]
async fn odd_archives_that_do_no_harm_are_taken() {
    let castari = Castari::start().await;
    let mut tar = Tar::new();
    tar.entry(EntryType::Directory, "./", "", b"");
    tar.file(
        "./castari.json",
        format!("\u{feff}{}", manifest("./bin/../start.mjs").replace("bin/../", "")).as_bytes(),
    );
    tar.file(
        "./lib/real.mjs",
        b"import fs from 'node:fs'; console.log('ran', (fs.statSync('tool').mode & 0o7777).toString(8))",
    );
    tar.symlink("./start.mjs", "lib/real.mjs")
        .symlink("dangling", "nowhere");
    let mut header = tar::Header::new_gnu();
    header.set_path("tool").unwrap();
    header.set_size(1);
    // Set-uid and writable for all: neither is kept.
    header.set_mode(0o6777);
    header.set_uid(0);
    header.set_cksum();
    tar.raw(&header, b"x");
    castari.create("one").await;
    castari.upload("one", tar.gzip()).await;
    assert_eq!(castari.invoke("one", "x").await.response_content, "ran 755\n");
}

#[tokio::test]
async fn an_upload_that_breaks_off_leaves_nothing() {
    use std::io::{Read, Write};
    let castari = Castari::start().await;
    castari.create("one").await;
    let head = format!(
        "POST /api/v1/agents/one/upload-code HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\
        Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 100000\r\n\r\n\
        --b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"x\"\r\n\r\n{}",
        castari.key(),
        "x".repeat(50_000)
    );
    let mut connection = std::net::TcpStream::connect(castari.address()).unwrap();
    connection.write_all(head.as_bytes()).unwrap();
    castari_tests::eventually("it arrives", std::time::Duration::from_secs(10), || {
        !castari.files().is_empty()
    })
    .await;
    drop(connection);
    castari_tests::eventually("it is gone", std::time::Duration::from_secs(10), || {
        castari.files().is_empty()
    })
    .await;
    assert_eq!(castari.client().agent("one").await.unwrap().status, AgentStatus::Draft);

    // Bytes that are no HTTP at all.
    let mut connection = std::net::TcpStream::connect(castari.address()).unwrap();
    connection.write_all(b"\x16\x03\x01 nonsense\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = connection.read_to_end(&mut answer);
    assert!(answer.starts_with(b"HTTP/1.1 400"), "{answer:?}");
    castari.client().me().await.unwrap();
}

#[tokio::test]
async fn what_packages_do_while_they_are_installed_stays_inside() {
    let castari = Castari::start().await;
    std::fs::write(castari.data_dir().join("marker"), "secret").unwrap();
    let package = json!({
        "name": "x",
        // A link out in place of the manifest, a pipe, a look around, and a process that wants to stay.
        "scripts": {"preinstall": format!(
            "cat {}/owner.key /etc/shadow > seen 2>/dev/null; id -u >> seen; (setsid sleep 1000 >/dev/null 2>&1 &); \
            rm castari.json; ln -s /etc/passwd castari.json", castari.data_dir().display())},
        "dependencies": {"l": "file:./l"},
    });
    let archive = files(&[
        ("castari.json", &manifest("index.mjs")),
        ("package.json", &package.to_string()),
        ("l/package.json", r#"{"name": "l", "version": "1.0.0"}"#),
        ("index.mjs", "console.log('x')"),
    ]);
    castari.create("one").await;
    let refusal = castari.upload_refused("one", archive).await;
    assert_eq!(
        (refusal.status, refusal.code.as_deref()),
        (400, Some("deploy_failed")),
        "{refusal:?}"
    );
    assert!(refusal.detail.to_string().contains("castari.json"), "{refusal:?}");

    let mut package = package;
    package["scripts"]["preinstall"] = format!(
        "cat {}/owner.key /etc/shadow > seen 2>/dev/null; id -u >> seen; mkfifo pipe",
        castari.data_dir().display()
    )
    .into();
    let archive = files(&[
        ("castari.json", &manifest("index.mjs")),
        ("package.json", &package.to_string()),
        ("l/package.json", r#"{"name": "l", "version": "1.0.0"}"#),
        (
            "index.mjs",
            "import fs from 'node:fs'; console.log(fs.readFileSync('seen', 'utf8'))",
        ),
    ]);
    match castari.client().upload_code("one", archive, true).await {
        Ok(_) => assert_eq!(castari.invoke("one", "x").await.response_content, "1000\n\n"),
        Err(error) => assert_eq!(error.refusal().unwrap().status, 400, "{error:?}"),
    }
}
