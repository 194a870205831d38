//! Colours and modifiers by meaning. Views name what a thing is; how that looks is decided here alone.

use ratatui::style::{Color, Modifier, Style};

/// How each kind of thing looks.
#[derive(Clone, Debug)]
pub struct Theme {
    /// Ordinary text.
    pub text: Style,
    /// What matters most where it stands: names, headings.
    pub strong: Style,
    /// What is there to be looked up: ages, labels, hints.
    pub dim: Style,
    /// What is there to be overlooked: rules, placeholders.
    pub faint: Style,
    /// The colour of the house: the focused border, the current tab.
    pub accent: Style,
    /// The border of what has no focus.
    pub border: Style,
    /// The border of what has the focus.
    pub border_focus: Style,
    /// The row that is selected where the focus is.
    pub selected: Style,
    /// The row that is selected where the focus is not.
    pub selected_away: Style,
    /// A key in footer and help.
    pub key: Style,
    /// A current tab or a button with the focus.
    pub button_focus: Style,
    /// A button without the focus.
    pub button: Style,
    /// It works.
    pub good: Style,
    /// It goes on.
    pub busy: Style,
    /// It needs an eye on it.
    pub warn: Style,
    /// It failed.
    pub bad: Style,
    /// A full-width notice of trouble.
    pub notice: Style,
    /// What a popup leaves visible behind it.
    pub shade: Style,
    /// The ground of a text field.
    pub field: Style,
}

impl Theme {
    /// For dark backgrounds. Indexed colours: they look the same in every terminal of the last twenty years.
    #[must_use]
    pub fn dark() -> Self {
        let fg = |index| Style::new().fg(Color::Indexed(index));
        Self {
            text: fg(252),
            strong: fg(255).add_modifier(Modifier::BOLD),
            dim: fg(246),
            faint: fg(240),
            accent: fg(147).add_modifier(Modifier::BOLD),
            border: fg(238),
            border_focus: fg(104),
            selected: Style::new().bg(Color::Indexed(237)).add_modifier(Modifier::BOLD),
            selected_away: Style::new().bg(Color::Indexed(235)),
            key: fg(147),
            button_focus: fg(234).bg(Color::Indexed(147)).add_modifier(Modifier::BOLD),
            button: fg(252).bg(Color::Indexed(238)),
            good: fg(114),
            busy: fg(80),
            warn: fg(221),
            bad: fg(210),
            notice: fg(234).bg(Color::Indexed(221)),
            shade: fg(240),
            field: Style::new().bg(Color::Indexed(236)),
        }
    }

    /// Without any colour, for `NO_COLOR`: only the terminal's own foreground and background, and modifiers.
    #[must_use]
    pub fn none() -> Self {
        let plain = Style::new();
        let bold = plain.add_modifier(Modifier::BOLD);
        let dim = plain.add_modifier(Modifier::DIM);
        let reversed = plain.add_modifier(Modifier::REVERSED);
        Self {
            text: plain,
            strong: bold,
            dim,
            faint: dim,
            accent: bold,
            border: dim,
            border_focus: bold,
            selected: reversed,
            selected_away: plain.add_modifier(Modifier::UNDERLINED),
            key: bold,
            button_focus: reversed.add_modifier(Modifier::BOLD),
            button: plain,
            good: plain,
            busy: bold,
            warn: bold,
            bad: bold,
            notice: reversed,
            shade: dim,
            field: plain.add_modifier(Modifier::UNDERLINED),
        }
    }

    /// The theme that the environment asks for: see <https://no-color.org>.
    #[must_use]
    pub fn from_environment() -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        if refused { Self::none() } else { Self::dark() }
    }
}
