//! From source to code that serves.

use castari_common::agents::AgentStatus;
use castari_common::deployments::DeploymentStatus;
use castari_common::{Page, agents::SourceType};
use castari_tests::archive::{files, manifest, script};
use castari_tests::shape::shape;
use castari_tests::{Castari, host};
use futures::StreamExt;
use reqwest::Method;
use serde_json::json;

/// A project whose installation needs no network and runs a command.
fn installing(command: &str, code: &str) -> Vec<u8> {
    let package =
        json!({"name": "test", "scripts": {"preinstall": command}, "dependencies": {"local": "file:./local"}});
    files(&[
        ("castari.json", &manifest("index.mjs")),
        ("package.json", &package.to_string()),
        ("local/package.json", r#"{"name": "local", "version": "1.0.0"}"#),
        ("index.mjs", code),
    ])
}

async fn deploy_statuses(castari: &Castari, slug: &str) -> Vec<DeploymentStatus> {
    let list = castari.client().deployments(slug, Page::default()).await.unwrap();
    list.deployments
        .into_iter()
        .map(|deployment| deployment.status)
        .collect()
}

#[tokio::test]
async fn an_agent_works_from_nothing() {
    let castari = Castari::start().await;
    castari.create("starter").await;
    let answer = castari
        .send(castari.request(Method::POST, "/agents/starter/deploy?wait=true"))
        .await;
    assert_eq!(answer.status, 202);
    insta::assert_json_snapshot!("starter_deployed", shape(answer.json()));
    let answer = castari
        .post("/agents/starter/invoke", &json!({"prompt": "hello there"}))
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let mut json = answer.json();
    let text = json["response_content"].take();
    assert!(text.as_str().unwrap().starts_with("You said: hello there\n"), "{text}");
    insta::assert_json_snapshot!("invoke_answer", shape(json));
    let deployments = castari.get("/agents/starter/deployments").await;
    insta::assert_json_snapshot!("deployments", shape(deployments.json()));
    assert_eq!(
        castari.last_deploy_log("starter").await,
        "Using the bundled starter agent\nDeployed\n"
    );
}

#[tokio::test]
async fn a_deploy_that_nobody_waits_for_tells_of_its_end() {
    let castari = Castari::start().await;
    castari.create("one").await;
    let mut events = Box::pin(castari.client().events(None).await.unwrap());
    let agent = castari.client().deploy("one", false).await.unwrap();
    assert_eq!(agent.status, AgentStatus::Deploying);
    let wait = async {
        while let Some(event) = events.next().await {
            event.unwrap();
            let agent = castari.client().agent("one").await.unwrap();
            if agent.status != AgentStatus::Deploying {
                return agent.status;
            }
        }
        panic!("the events ended");
    };
    let status = castari_tests::within("the deploy ends", std::time::Duration::from_secs(60), wait).await;
    assert_eq!(status, AgentStatus::Active);
}

#[tokio::test]
async fn each_kind_of_module_runs() {
    let castari = Castari::start().await;
    let stdin = "let p = ''; process.stdin.on('data', d => p += d).on('end', () => console.log(`NAME ${p}`));";
    let code = |name: &str| stdin.replace("NAME", name);
    let module = r#"{"name": "x", "type": "module"}"#;
    let projects: Vec<(&str, Vec<u8>)> = vec![
        (
            "mjs",
            files(&[
                ("castari.json", &manifest("a.mjs")),
                ("a.mjs", &format!("import 'node:fs'; {}", code("mjs"))),
            ]),
        ),
        (
            "cjs",
            files(&[
                ("castari.json", &manifest("a.cjs")),
                ("a.cjs", &format!("require('fs'); {}", code("cjs"))),
            ]),
        ),
        (
            "js",
            files(&[
                ("castari.json", &manifest("./src/a.js")),
                ("src/a.js", &format!("require('fs'); {}", code("js"))),
            ]),
        ),
        (
            "module",
            files(&[
                ("castari.json", &manifest("a.js")),
                ("package.json", module),
                ("a.js", &format!("import 'node:fs'; {}", code("module"))),
            ]),
        ),
        (
            "ts",
            files(&[
                ("castari.json", &manifest("src/a.ts")),
                ("package.json", module),
                (
                    "src/a.ts",
                    &format!(
                        "import {{ type Word, word }} from './b.js';\nenum E {{ A = 'ts' }}\nconst w: Word = word as Word;\n\
                         if (w !== 'x') throw new Error(w);\nconst e: E = E.A;\n{}",
                        code("${e}").replace("let p =", "let p: string =")
                    ),
                ),
                (
                    "src/b.ts",
                    "export type Word = string;\nexport const word: Word = 'x';\n",
                ),
            ]),
        ),
        // In one folder of its own, as `tar` of a folder makes it.
        (
            "folder",
            files(&[("x/castari.json", &manifest("a.mjs")), ("x/a.mjs", &code("folder"))]),
        ),
    ];
    for (name, archive) in projects {
        castari.create(name).await;
        castari.upload(name, archive).await;
        assert_eq!(
            castari.invoke(name, "works").await.response_content,
            format!("{name} works\n")
        );
    }
}

#[tokio::test]
async fn npm_dependencies_and_typescript_work() {
    if !host::has_tun() {
        return host::skip("packages need a network, and /dev/net/tun cannot be opened");
    }
    let castari = Castari::start().await;
    let package = json!({"name": "x", "type": "module", "dependencies": {"@anthropic-ai/sdk": "0.71.2"}});
    let code = "import Anthropic from '@anthropic-ai/sdk';\nimport { text } from 'node:stream/consumers';\n\
        interface Answer { version: string; prompt: string }\n\
        const client: Anthropic = new Anthropic({ apiKey: 'none', baseURL: 'http://127.0.0.1:9' });\n\
        const answer: Answer = { version: typeof client.messages.create, prompt: await text(process.stdin) };\n\
        console.log(JSON.stringify(answer));\n";
    castari.create("sdk").await;
    let archive = files(&[
        ("castari.json", &manifest("src/index.ts")),
        ("package.json", &package.to_string()),
        ("src/index.ts", code),
    ]);
    castari.upload("sdk", archive).await;
    let answer = castari.invoke("sdk", "hello").await.response_content;
    assert_eq!(answer, "{\"version\":\"function\",\"prompt\":\"hello\"}\n");
    let log = castari.last_deploy_log("sdk").await;
    assert!(
        log.contains("Running npm install") && log.contains("Stripping types"),
        "{log}"
    );
}

#[tokio::test]
async fn the_project_s_own_tsx_is_used() {
    if !host::has_tun() {
        return host::skip("packages need a network, and /dev/net/tun cannot be opened");
    }
    let castari = Castari::start().await;
    let package = json!({"name": "x", "type": "module", "devDependencies": {"tsx": "4.21.0"}});
    castari.create("tsx").await;
    // Decorators with emitted metadata and the like are why people bring a runner; a path without ending is enough here.
    let archive = files(&[
        ("castari.json", &manifest("src/index.ts")),
        ("package.json", &package.to_string()),
        (
            "src/index.ts",
            "import { word } from './word';\nconst a: string = word;\nconsole.log(a, process.execArgv.join());\n",
        ),
        ("src/word.ts", "export const word: string = 'typed';\n"),
    ]);
    castari.upload("tsx", archive).await;
    let answer = castari.invoke("tsx", "hello").await.response_content;
    assert_eq!(answer, "typed --import,tsx\n");
    assert!(castari.last_deploy_log("tsx").await.contains("the project's own tsx"));
}

#[tokio::test]
async fn a_lock_file_decides_between_install_and_ci() {
    let castari = Castari::start().await;
    castari.create("one").await;
    castari
        .upload("one", installing("echo preparing", "console.log('ok')"))
        .await;
    let log = castari.last_deploy_log("one").await;
    assert!(log.contains("Running npm install\n"), "{log}");

    let package = r#"{"name": "x", "version": "1.0.0", "dependencies": {"local": "file:./local"}}"#;
    let lock = json!({
        "name": "x", "version": "1.0.0", "lockfileVersion": 3, "requires": true,
        "packages": {
            "": {"name": "x", "version": "1.0.0", "dependencies": {"local": "file:./local"}},
            "local": {"version": "1.0.0"},
            "node_modules/local": {"resolved": "local", "link": true},
        },
    });
    let locked = |lock: &str| {
        files(&[
            ("castari.json", &manifest("index.mjs")),
            ("package.json", package),
            ("package-lock.json", lock),
            (
                "local/package.json",
                r#"{"name": "local", "version": "1.0.0", "main": "i.js"}"#,
            ),
            ("local/i.js", "module.exports = 'from a package';"),
            ("index.mjs", "import word from 'local'; console.log(word)"),
        ])
    };
    castari.create("two").await;
    castari.upload("two", locked(&lock.to_string())).await;
    let log = castari.last_deploy_log("two").await;
    assert!(log.contains("Running npm ci\n"), "{log}");
    assert_eq!(
        castari.invoke("two", "hello").await.response_content,
        "from a package\n"
    );

    let stale = r#"{"name": "x", "version": "1.0.0", "lockfileVersion": 3, "packages": {"": {"name": "x"}}}"#;
    castari.create("three").await;
    let refusal = castari.upload_refused("three", locked(stale)).await;
    assert_eq!((refusal.status, refusal.code.as_deref()), (400, Some("deploy_failed")));
    let reason = refusal.detail.to_string();
    assert!(
        reason.starts_with("npm ci failed: ") && reason.contains("package-lock.json"),
        "{reason}"
    );
}

#[tokio::test]
async fn a_first_deploy_that_fails_says_why() {
    let castari = Castari::start().await;
    castari.create("one").await;
    let refusal = castari
        .upload_refused("one", installing("echo no good >&2; exit 3", ""))
        .await;
    assert_eq!((refusal.status, refusal.code.as_deref()), (400, Some("deploy_failed")));
    let reason = refusal.detail.to_string();
    assert!(reason.starts_with("npm install failed: "), "{reason}");
    let agent = castari.client().agent("one").await.unwrap();
    assert_eq!(
        (agent.status, agent.source_type),
        (AgentStatus::Error, SourceType::Local)
    );
    assert_eq!(agent.status_message, Some(reason.clone()));
    let list = castari.client().deployments("one", Page::default()).await.unwrap();
    assert_eq!(list.deployments[0].status, DeploymentStatus::Failed);
    assert_eq!(list.deployments[0].error, Some(reason));
    assert!(list.deployments[0].finished_at.is_some());
    assert!(castari.last_deploy_log("one").await.contains("no good"));
    let answer = castari.post("/agents/one/invoke", &json!({"prompt": "hello"})).await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "agent_not_active"));
    castari
        .settles("the archive alone is kept", |files| files.len() == 1)
        .await;

    // The same answer to whoever waits for a deploy.
    for call in ["deploy", "redeploy"] {
        let answer = castari
            .send(castari.request(Method::POST, &format!("/agents/one/{call}?wait=true")))
            .await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (400, "deploy_failed"),
            "{answer:?}"
        );
        assert!(answer.text.contains("npm install failed: "), "{answer:?}");
    }

    castari.upload("one", script("console.log('good')")).await;
    let agent = castari.client().agent("one").await.unwrap();
    assert_eq!((agent.status, agent.status_message), (AgentStatus::Active, None));
    assert_eq!(castari.invoke("one", "hello").await.response_content, "good\n");
}

#[tokio::test]
async fn a_later_deploy_that_fails_leaves_the_earlier_one_serving() {
    let castari = Castari::start().await;
    castari.deploy_script("one", "console.log('first')").await;
    let before = castari.client().agent("one").await.unwrap();
    let refusal = castari
        .upload_refused("one", installing("exit 1", "console.log('second')"))
        .await;
    assert_eq!(refusal.status, 400);
    let agent = castari.client().agent("one").await.unwrap();
    assert_eq!(agent.status, AgentStatus::Active);
    assert!(
        agent
            .status_message
            .is_some_and(|message| message.starts_with("npm install failed"))
    );
    assert_eq!(agent.source_hash, before.source_hash, "the hash of what serves");
    assert_eq!(castari.invoke("one", "hello").await.response_content, "first\n");
    assert_eq!(
        deploy_statuses(&castari, "one").await,
        [DeploymentStatus::Failed, DeploymentStatus::Succeeded]
    );
}

#[tokio::test]
async fn code_is_replaced_and_what_is_not_needed_goes() {
    let castari = Castari::start().await;
    castari.deploy_script("one", "console.log('first')").await;
    castari
        .settles("an archive and its code", |files| files.len() == 2)
        .await;
    let first = castari.files();
    castari.upload("one", script("console.log('second')")).await;
    let agent = castari.client().agent("one").await.unwrap();
    assert_eq!(agent.source_type, SourceType::Local);
    assert_eq!(castari.invoke("one", "hello").await.response_content, "second\n");
    let is_new = |file: &String| !first.contains(file);
    castari
        .settles("an archive and its code, both new", |files| {
            files.len() == 2 && files.iter().all(is_new)
        })
        .await;
    let second = castari.files();

    let again = castari.client().redeploy("one", true).await.unwrap();
    assert_eq!(
        (again.status, again.source_hash),
        (AgentStatus::Active, agent.source_hash)
    );
    assert_eq!(castari.invoke("one", "hello").await.response_content, "second\n");
    castari.keeps(&second).await;
    assert_eq!(deploy_statuses(&castari, "one").await, [DeploymentStatus::Succeeded; 3]);
}

#[tokio::test]
async fn an_upload_need_not_be_deployed() {
    let castari = Castari::start().await;
    castari.create("one").await;
    let form = |archive| {
        let part = reqwest::multipart::Part::bytes(archive).file_name("x.tar.gz");
        reqwest::multipart::Form::new()
            .text("note", "ignored")
            .part("file", part)
    };
    let request = castari.request(Method::POST, "/agents/one/upload-code?auto_deploy=false");
    let answer = castari
        .send(request.multipart(form(script("console.log('one')"))))
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    insta::assert_json_snapshot!("uploaded", shape(answer.json()));
    let agent = castari.client().agent("one").await.unwrap();
    assert_eq!(
        (agent.status, agent.source_type),
        (AgentStatus::Draft, SourceType::Local)
    );
    assert!(deploy_statuses(&castari, "one").await.is_empty());

    let deployed = castari.client().deploy("one", true).await.unwrap();
    assert_eq!(deployed.source_hash.as_deref(), answer.json()["source_hash"].as_str());
    assert_eq!(castari.invoke("one", "hello").await.response_content, "one\n");

    let request = castari.request(Method::POST, "/agents/one/upload-code");
    let answer = castari
        .send(request.multipart(form(script("console.log('two')"))))
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    insta::assert_json_snapshot!("uploaded_and_deployed", shape(answer.json()));
    assert_eq!(castari.invoke("one", "hello").await.response_content, "two\n");
}

#[tokio::test]
async fn a_running_deploy_streams_its_log_and_excludes_another() {
    let castari = Castari::start().await;
    let client = castari.client();
    castari.create("one").await;
    let slow = installing("echo it begins; sleep 1000", "");
    client.upload_code("one", slow, false).await.unwrap();
    let agent = client.deploy("one", false).await.unwrap();
    assert_eq!(agent.status, AgentStatus::Deploying);
    let id = client.deployments("one", Page::default()).await.unwrap().deployments[0]
        .id
        .clone();
    let mut log = Box::pin(client.follow_deployment_log("one", &id).await.unwrap());
    let mut read = Vec::new();
    // npm shows what a script says only when it fails: that the step begins has to do.
    while !String::from_utf8_lossy(&read).contains("Running npm install") {
        read.extend(log.next().await.expect("the log goes on").unwrap());
    }
    for path in [
        "/agents/one/deploy",
        "/agents/one/deploy?wait=true",
        "/agents/one/redeploy",
    ] {
        let answer = castari.send(castari.request(Method::POST, path)).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (400, "deploy_in_progress"),
            "{path}"
        );
    }
    let before = client.agent("one").await.unwrap();
    let kept = castari.files();
    let refusal = castari.upload_refused("one", script("")).await;
    assert_eq!(
        (refusal.status, refusal.code.as_deref()),
        (400, Some("deploy_in_progress"))
    );
    assert_eq!(client.agent("one").await.unwrap(), before);
    castari.keeps(&kept).await;
    let whole = client.deployment_log("one", &id).await.unwrap();
    assert!(whole.contains("Running npm install"), "{whole}");

    let stopped = client.stop_agent("one").await.unwrap();
    assert_eq!(stopped.status, AgentStatus::Stopped);
    while let Some(piece) = log.next().await {
        read.extend(piece.unwrap());
    }
    assert!(String::from_utf8_lossy(&read).ends_with("Failed: The agent was stopped\n"));
    castari_tests::eventually("the staging is empty", std::time::Duration::from_secs(10), || {
        castari.files().len() == 1
    })
    .await;
    assert_eq!(client.agent("one").await.unwrap().status, AgentStatus::Stopped);
}

#[tokio::test]
async fn an_archive_stays_while_a_deploy_waits_for_it() {
    let castari = Castari::start().await;
    let client = castari.client();
    // As many as are built at once.
    for slug in ["slow-1", "slow-2"] {
        castari.create(slug).await;
        client
            .upload_code(slug, installing("sleep 1000", ""), false)
            .await
            .unwrap();
        client.deploy(slug, false).await.unwrap();
        let id = client.deployments(slug, Page::default()).await.unwrap().deployments[0]
            .id
            .clone();
        let mut log = Box::pin(client.follow_deployment_log(slug, &id).await.unwrap());
        log.next().await.unwrap().unwrap();
    }
    castari.create("one").await;
    client
        .upload_code("one", script("console.log('first')"), false)
        .await
        .unwrap();
    client.deploy("one", false).await.unwrap();
    let mut events = Box::pin(client.events(None).await.unwrap());
    client
        .upload_code("one", script("console.log('second')"), false)
        .await
        .unwrap();
    for slug in ["slow-1", "slow-2"] {
        client.stop_agent(slug).await.unwrap();
    }
    let agent = loop {
        events.next().await.unwrap().unwrap();
        let agent = client.agent("one").await.unwrap();
        if agent.status != AgentStatus::Deploying {
            break agent;
        }
    };
    assert_eq!((agent.status, agent.status_message), (AgentStatus::Active, None));
    let answer = castari.invoke("one", "hello").await.response_content;
    assert!(answer == "first\n" || answer == "second\n", "{answer}");
}

#[tokio::test]
async fn a_deleted_agent_s_deploy_ends() {
    let castari = Castari::start().await;
    let client = castari.client();
    castari.create("one").await;
    client
        .upload_code("one", installing("sleep 1000", ""), false)
        .await
        .unwrap();
    client.deploy("one", false).await.unwrap();
    let id = client.deployments("one", Page::default()).await.unwrap().deployments[0]
        .id
        .clone();
    let mut log = Box::pin(client.follow_deployment_log("one", &id).await.unwrap());
    log.next().await.unwrap().unwrap();
    client.delete_agent("one").await.unwrap();
    castari_tests::eventually("everything of it is gone", std::time::Duration::from_secs(10), || {
        castari.files().is_empty() && std::fs::read_dir(castari.data_dir().join("logs")).unwrap().count() == 0
    })
    .await;
}

#[tokio::test]
async fn a_stopped_agent_answers_when_deployed_again() {
    let castari = Castari::start().await;
    castari.deploy_script("one", "console.log('hello')").await;
    // Also where the published clients send it.
    for path in ["/agents/one/sandbox", "/one/sandbox"] {
        let answer = castari.send(castari.request(Method::DELETE, path)).await;
        assert_eq!((answer.status, &answer.json()["status"]), (200, &json!("stopped")));
        for call in ["invoke", "stream"] {
            let answer = castari
                .post(&format!("/agents/one/{call}"), &json!({"prompt": "hello"}))
                .await;
            assert_eq!(answer.status, 400);
            assert_eq!(
                answer.json(),
                json!({"detail": "Agent not active", "code": "agent_not_active"})
            );
        }
        castari.client().deploy("one", true).await.unwrap();
        assert_eq!(castari.invoke("one", "x").await.response_content, "hello\n");
    }
    // Stopping what never ran is no fault.
    castari.create("two").await;
    assert_eq!(
        castari.client().stop_agent("two").await.unwrap().status,
        AgentStatus::Stopped
    );
}

#[tokio::test]
async fn a_stopped_deploy_does_not_end_the_next() {
    let castari = Castari::start().await;
    let client = castari.client();
    castari.create("one").await;
    client
        .upload_code("one", installing("sleep 1000", ""), false)
        .await
        .unwrap();
    client.deploy("one", false).await.unwrap();
    client.stop_agent("one").await.unwrap();
    castari.upload("one", script("console.log('the next')")).await;
    assert_eq!(castari.invoke("one", "x").await.response_content, "the next\n");
    let agent = client.agent("one").await.unwrap();
    assert_eq!((agent.status, agent.status_message), (AgentStatus::Active, None));
}

#[tokio::test]
async fn folders_that_nest_without_end_are_refused_and_removed() {
    let castari = Castari::start().await;
    castari.create("one").await;
    let nest = "node -e \"for (let i = 0; i < 5000; i++) { fs.mkdirSync('d'); process.chdir('d') }\"";
    let refusal = castari.upload_refused("one", installing(nest, "")).await;
    assert_eq!((refusal.status, refusal.code.as_deref()), (400, Some("deploy_failed")));
    assert!(refusal.detail.to_string().contains("nest deeper"), "{refusal}");
    castari.settles("the archive alone", |files| files.len() == 1).await;
}
