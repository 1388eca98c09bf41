"""What is to be run: study files, their variants, and the runs that these come to."""
