"""Changed examples while training: by kind of data, and mixed from several."""
