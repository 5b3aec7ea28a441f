"""What desktops need to know the format: its kind of file, thumbnails, a viewer; and ImageMagick's delegates."""
