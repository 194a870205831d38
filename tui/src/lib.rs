//! stub
pub mod dashboard {
    use castari_common::Client;
    use std::path::PathBuf;
    pub struct Attachment {
        pub client: Client,
        pub bundled: bool,
        pub server_log: Option<PathBuf>,
    }
    pub async fn run(_: Attachment) -> color_eyre::Result<()> {
        Ok(())
    }
}
