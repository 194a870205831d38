/// What an agent can be made of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// A folder on this machine.
    Folder,
    /// A repository.
    Git,
    /// The bundled starter agent.
    Starter,
}

impl Kind {
    /// All of them, in the order of their tabs.
    pub const ALL: [Self; 3] = [Self::Folder, Self::Git, Self::Starter];

    /// What its tab says.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Folder => "Folder",
            Self::Git => "Git URL",
            Self::Starter => "Starter agent",
        }
    }

    /// What one should know of it.
    #[must_use]
    pub fn about(self) -> &'static str {
        match self {
            Self::Folder => {
                "A folder on this machine with a castari.json. It is packed without node_modules, .git and what .gitignore names."
            }
            Self::Git => "A repository with a castari.json, cloned by the server at each deploy.",
            Self::Starter => {
                "A small agent that comes with the server. Needs nothing: good to see how everything works."
            }
        }
    }
}
