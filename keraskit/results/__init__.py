"""What a run leaves behind: its folder, pictures and report. Knows files and arrays, not how they were trained."""
