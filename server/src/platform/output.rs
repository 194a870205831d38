//! What an agent writes: kept up to a limit, and passed on to whoever follows.

use std::time::Duration;

use castari_common::invocations::{InvocationEvent, Started};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::mpsc;

use super::mask::{Mask, Masked};

/// How much of stdout, and of stderr, is kept, in bytes.
const KEPT: usize = 10 << 20;

const CHUNK: usize = 64 * 1024;

/// How long a follower that is still there may take nothing, until it is not waited for any more.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

type Follower = Option<mpsc::Sender<InvocationEvent>>;

/// What an agent wrote.
#[derive(Debug, Default)]
pub(super) struct Output {
    pub stdout: String,
    pub stderr: String,
}

/// Where an agent's output goes.
pub(super) struct Sink {
    follower: Follower,
    sandbox_id: Option<String>,
    stdout: Text,
    stderr: Text,
    output: Output,
}

impl Sink {
    /// `mask` hides the secrets that an agent may write.
    pub fn new(follower: Follower, mask: &Mask) -> Self {
        Self {
            follower,
            sandbox_id: None,
            stdout: Text::new(mask),
            stderr: Text::new(mask),
            output: Output::default(),
        }
    }

    /// Tells the follower that the agent starts.
    pub fn start(&mut self, started: Started) {
        self.sandbox_id.clone_from(&started.sandbox_id);
        if let Some(follower) = &self.follower {
            // The first event: there is room.
            let _ = follower.try_send(InvocationEvent::Start(started));
        }
    }

    /// Waits until the follower has gone; for ever where there never was one.
    pub fn abandoned(&self) -> impl Future<Output = ()> + use<> {
        let follower = self.follower.clone();
        async move {
            match follower {
                Some(follower) => follower.closed().await,
                None => std::future::pending().await,
            }
        }
    }

    /// Takes what comes until both ends are closed.
    pub async fn take(&mut self, stdout: &mut (impl AsyncRead + Unpin), stderr: &mut (impl AsyncRead + Unpin)) {
        let Self {
            follower,
            stdout: out,
            stderr: err,
            output,
            ..
        } = self;
        tokio::join!(
            copy(
                stdout,
                out,
                &mut output.stdout,
                follower.clone(),
                InvocationEvent::Output
            ),
            copy(stderr, err, &mut output.stderr, follower.clone(), InvocationEvent::Log),
        );
    }

    /// The sandbox that the agent started in, if it did.
    pub fn sandbox_id(&self) -> Option<String> {
        self.sandbox_id.clone()
    }

    /// What was written so far.
    pub fn output(&self) -> &Output {
        &self.output
    }

    /// All that was written, with a note in the log where some of it was not kept.
    pub fn finish(mut self) -> Output {
        for (text, kept) in [
            (&mut self.stdout, &mut self.output.stdout),
            (&mut self.stderr, &mut self.output.stderr),
        ] {
            kept.push_str(&text.end());
        }
        for (text, name) in [(&self.stdout, "stdout"), (&self.stderr, "stderr")] {
            if text.is_cut {
                let log = &mut self.output.stderr;
                if !log.is_empty() && !log.ends_with('\n') {
                    log.push('\n');
                }
                log.push_str("[castari] ");
                log.push_str(name);
                log.push_str(" reached 10 MiB; what came after was not kept\n");
            }
        }
        self.output
    }
}

async fn copy(
    from: &mut (impl AsyncRead + Unpin),
    text: &mut Text,
    kept: &mut String,
    mut follower: Follower,
    event: fn(String) -> InvocationEvent,
) {
    loop {
        let mut chunk = Vec::with_capacity(CHUNK);
        let is_over = matches!(from.read_buf(&mut chunk).await, Ok(0) | Err(_));
        let piece = if is_over { text.end() } else { text.decode(&chunk) };
        let room = KEPT.saturating_sub(kept.len());
        let piece = if piece.len() > room {
            text.is_cut = true;
            let end = (0..=room).rev().find(|end| piece.is_char_boundary(*end)).unwrap_or(0);
            &piece[..end]
        } else {
            &piece
        };
        kept.push_str(piece);
        if let Some(to) = &follower
            && !piece.is_empty()
            && to.send_timeout(event(piece.to_owned()), PATIENCE).await.is_err()
        {
            follower = None;
        }
        if is_over {
            return;
        }
    }
}

/// Bytes on their way to text. A character that is split between two chunks is put together again.
struct Text {
    rest: Vec<u8>,
    masked: Masked,
    is_cut: bool,
}

impl Text {
    fn new(mask: &Mask) -> Self {
        Self {
            rest: Vec::new(),
            masked: mask.text(),
            is_cut: false,
        }
    }

    fn decode(&mut self, chunk: &[u8]) -> String {
        self.rest.extend_from_slice(chunk);
        let complete = match self.rest.utf8_chunks().last() {
            // An invalid end that more bytes could complete: none of the four bytes of a character is missing yet.
            Some(last) if !last.invalid().is_empty() && is_beginning(last.invalid()) => {
                self.rest.len() - last.invalid().len()
            }
            _ => self.rest.len(),
        };
        let rest = self.rest.split_off(complete);
        let text = String::from_utf8_lossy(&self.rest).into_owned();
        self.rest = rest;
        self.masked.take(text)
    }

    /// What is left when nothing more comes.
    fn end(&mut self) -> String {
        let rest = String::from_utf8_lossy(&std::mem::take(&mut self.rest)).into_owned();
        self.masked.take(rest) + &self.masked.end()
    }
}

/// Whether bytes are the beginning of a character.
fn is_beginning(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn split_characters_are_put_together() {
        let whole = "a€😀é\u{10ffff}z".as_bytes();
        for cut in 0..=whole.len() {
            let mut text = Text::new(&Mask::new([]));
            let mut decoded = text.decode(&whole[..cut]);
            decoded.push_str(&text.decode(&whole[cut..]));
            decoded.push_str(&text.end());
            assert_eq!(decoded.as_bytes(), whole, "cut at {cut}");
        }
    }

    #[test]
    fn what_is_no_text_is_shown_as_such() {
        let mut text = Text::new(&Mask::new([]));
        assert_eq!(text.decode(b"a\xffb\xe2\x82"), "a\u{fffd}b");
        assert_eq!(text.end(), "\u{fffd}");
    }

    #[tokio::test]
    async fn output_is_capped_and_says_so() {
        let mut sink = Sink::new(None, &Mask::new([]));
        let long = vec![b'x'; KEPT + 10];
        sink.take(&mut long.as_slice(), &mut &b"note"[..]).await;
        let output = sink.finish();
        assert_eq!(output.stdout.len(), KEPT);
        assert_eq!(
            output.stderr,
            "note\n[castari] stdout reached 10 MiB; what came after was not kept\n"
        );
    }
}
