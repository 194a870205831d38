use castari_server::sandbox::{egress::Policy, host::Host, *};
use tokio::io::*;
#[tokio::main]
async fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let dir = std::env::current_dir().unwrap();
    let host = Host::look().unwrap();
    let env = host.env.clone();
    println!("{} {:?}", host.node, host.env);
    let launcher = Launcher::start("/work/main/target/debug/castari".as_ref(), &dir, host, Policy::new()).unwrap();
    let n: usize = std::env::var("N").ok().and_then(|n| n.parse().ok()).unwrap_or(1);
    let mut times = vec![];
    for i in 0..n {
        let t = std::time::Instant::now();
        let w = match std::env::var("W") {
            Ok(w) => Workspace::Overlay(w.into()),
            _ => Workspace::Empty,
        };
        let mut s = launcher.sandbox("sbx_1".into(), w).await.unwrap();
        let (mut p, mut st) = s
            .start(Command {
                argv: args.clone(),
                env: env.clone(),
                cwd: "/workspace".into(),
            })
            .await
            .unwrap();
        drop(st.stdin);
        let (mut o, mut e) = (String::new(), String::new());
        let (_, _, end) = tokio::join!(
            st.stdout.read_to_string(&mut o),
            st.stderr.read_to_string(&mut e),
            p.ended()
        );
        if i == 0 {
            println!("{o}\n{e}\n{end:?} egress {}", s.has_egress());
        }
        s.end().await.unwrap();
        times.push(t.elapsed());
    }
    times.sort();
    println!("p50 {:?}", times[times.len() / 2]);
}
