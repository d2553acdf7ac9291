"""The preview: a page and a contact sheet that show a person what the packed files hold."""
