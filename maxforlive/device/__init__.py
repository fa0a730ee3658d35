"""What Barline.amxd is made of: its controls, its patch, its bytes and its drawing. Standard library only."""
