"""The drawing hands: one file for each kind of subject, and one for what anybody may wear or hold."""
