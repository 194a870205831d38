//! How a key finds the command that it stands for.

use crossterm::event::{Event, KeyEvent, KeyEventKind};

use super::{App, PaneId, Tone};
use crate::input::{Action, Command, Key, keys};

const FIRST_PANE: &[Key] = &[Key::char('1')];
const SECOND_PANE: &[Key] = &[Key::char('2')];

impl App {
    /// What can be done wherever the user is; above a layer, what does not move what lies below.
    #[must_use]
    pub fn global_commands(&self) -> Vec<Command> {
        let suspend = self
            .setup
            .bundled
            .then_some("the server runs in this process and would stop too");
        let leave = if self.setup.bundled {
            "Leave; the server in this process ends too"
        } else {
            "Leave; the server and its agents go on"
        };
        let mut commands = vec![Command::new(keys::HELP, "help", Action::Help, "What can be done here")];
        if !self.has_layers() {
            commands.extend([
                Command::new(FIRST_PANE, "agents", Action::Pane(PaneId::Agents), "Go to the agents").quiet(),
                Command::new(
                    SECOND_PANE,
                    "invocations",
                    Action::Pane(PaneId::Invocations),
                    "Go to the invocations",
                )
                .quiet(),
                Command::new(keys::NEXT, "next pane", Action::NextPane, "Go to the next pane").quiet(),
                Command::new(
                    keys::PREVIOUS,
                    "previous pane",
                    Action::PreviousPane,
                    "Go to the previous pane",
                )
                .quiet(),
                Command::new(keys::QUIT, "quit", Action::Quit, leave),
            ]);
        }
        commands.extend([
            Command::new(keys::REFRESH, "refresh", Action::Refresh, "Read everything again").quiet(),
            Command::new(
                keys::SUSPEND,
                "suspend",
                Action::Suspend,
                "Back to the shell; fg returns",
            )
            .unless(suspend)
            .quiet(),
            Command::new(keys::INTERRUPT, "quit", Action::Quit, "Leave from anywhere").quiet(),
        ]);
        commands
    }

    pub(super) fn help_sections(&self) -> Vec<(String, Vec<Command>)> {
        let top = self.top();
        vec![
            (top.title(), top.commands()),
            ("Everywhere".into(), self.global_commands()),
        ]
    }

    pub(super) fn terminal_event(&mut self, event: &Event) {
        match event {
            Event::Key(key) if key.kind != KeyEventKind::Release => self.key(*key),
            Event::Mouse(mouse) => self.mouse(*mouse),
            Event::Paste(text) => self.with_top(|top, cx| top.paste(text, cx)),
            _ => {}
        }
    }

    fn key(&mut self, key: KeyEvent) {
        let typing = self.top().typing();
        let meant = |command: &Command| command.keys.iter().any(|k| k.matches(&key) && !(typing && k.types()));
        let own = self.top().commands().into_iter().find(meant);
        if let Some(command) = own.or_else(|| self.global_commands().into_iter().find(meant)) {
            self.obey(&command);
        } else if typing {
            self.with_top(|top, cx| top.type_key(key, cx));
        }
    }

    /// Does what a command stands for, or says why not.
    pub(super) fn obey(&mut self, command: &Command) {
        match command.unavailable {
            Some(reason) => self.toasts.add(Tone::Hint, format!("Not now: {reason}"), self.now),
            None => drop(self.perform(command.action)),
        }
    }

    /// Does something; says whether anything knew what to do.
    pub(crate) fn perform(&mut self, action: Action) -> bool {
        self.with_top(|top, cx| top.perform(action, cx)) || self.perform_globally(action)
    }
}
