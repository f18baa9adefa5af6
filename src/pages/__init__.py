"""What a person looks at: pictures of matches, sheets, HTML."""
