"""The site: pages of docs/, one for each entry, and what they link to, built by mkdocs."""
