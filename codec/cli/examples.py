"""The examples at the end of each command's help."""

MAIN = """examples:
  aec compress photo.png                  photo.aec beside it
  aec decompress photo.aec -o back.png
  aec compress -r holiday/ -o small/      a folder, as many files at a time as there are cores
  aec view photo.aec                      look at it
  aec info photo.aec                      what it says of itself; aec verify photo.aec: whether it is whole
  aec similar -r photos/                  pictures that are nearly the same
  aec train my-photos/ -o my.safetensors --minutes 60 --init eye
  aec bench my-photos/ -o report/
  aec compare photo.png photo.aec photo.jpg -o compare.html
each command has its own: aec compress --help
exit codes: 0 done, 1 some files failed, 2 usage, 3 unreadable input or a target out of its reach,
  4 corrupt or truncated file, 5 over a limit, 6 model missing or another one, 7 output exists or cannot be written,
  130 interrupted"""

COMPRESS = """examples:
  aec compress photo.png                              photo.aec beside it
  aec compress -q 40 *.jpg -o small/                  many files into a folder
  aec compress photo.png --target-size 80k            at most 80000 bytes, and close to it
  aec compress logo.png --lossless                    every sample comes back as it was
  aec compress -r photos --output-dir-mirror backup --skip-existing --json > log.jsonl
                                                      backup/photos/..; run it again to go on where it was stopped
  aec compress --from 'in-{00000..00099}.tar' --to 'out-{:05d}.tar'
                                                      tar shards as of WebDataset; run it again to go on
  aec compress --strip holiday.jpg -o - | ssh host 'cat > holiday.aec'    without place and camera

SIZE: 80000, 80k or 1.5M (of 1000), 64KiB or 1MiB (of 1024).
--json prints, as files finish, {in, out, bytes_in, bytes_out, width, height, bpp, quality, seconds, status, error};
status is done, failed, skipped or planned, error says why for failed and skipped; quality is null if stored."""

DECOMPRESS = """examples:
  aec decompress photo.aec                            photo.png beside it
  aec decompress photo.aec -o photo.jpg               or .webp .avif .tif .png .npy: the name says the kind
  aec decompress pan.aec --scale 1/8 -o thumb.png     a thumbnail, in a fraction of the time
  aec decompress pan.aec --crop 9000,200,640,480 -o detail.png
  aec decompress -r small/ -o back/ -j 4              a folder, four files at a time
  aec decompress --from 'out-*.tar' --to back/        tar shards, each into a folder of back/
  aec decompress -r small/ -o web/ --format jpg --out-quality 85 --fit 1600x1600

--json prints, as files finish, {in, out, bytes_in, bytes_out, width, height, bpp, quality, seconds, status, error}."""

INFO = """examples:
  aec info photo.aec
  aec info -r small/ --json | jq 'select(.stored) | .file'"""

VERIFY = """examples:
  aec verify photo.aec && echo whole
  aec verify -r backup/ -v                            a line for each file
  aec verify -r backup/ --deep -j 2 --json            decode the symbols too, which needs the models"""

VIEW = """examples:
  aec view photo.aec
  aec view photo.png -o page.html                     write the page, open nothing"""

THUMBNAIL = """examples:
  aec thumbnail photo.aec thumb.png -s 128
  aec thumbnail file:///home/me/photo.aec thumb.png   as some file managers name it"""

DESKTOP = """examples:
  aec desktop install                                 for this user
  sudo "$(command -v aec)" desktop install --prefix /usr/local    for all users
  aec desktop uninstall
  aec desktop delegates > ~/.config/ImageMagick/delegates.xml"""

SIMILAR = """examples:
  aec similar -r photos/                              groups of near-duplicates
  aec similar -r photos/ --query one.aec -k 5         the five pictures that are most like this one
  aec similar -r photos/ --threshold 0.97 --json      only those that are nearer to each other

The similarity of two pictures is 1 at most, and about 0 if they have nothing in common. Copies of other sizes,
qualities, brightness or contrast, and gray copies, are found, and those that are cut by a few percent; turned and
mirrored ones are not. .aec files take the least time: their symbols are read, but no pixels are made. Other pictures
are analysed as if to compress them.
--json prints {group, files: [{file, nearest, similarity}]} for each group, or {file, similarity} for each neighbour,
and {file, error} for each file that cannot be read."""

TRAIN = """examples:
  aec train my-photos/ -o mine.safetensors --minutes 60 --init eye     the shipped model, fitted to your pictures
  aec train my-photos/ -o mine.safetensors --minutes 60 --resume mine.checkpoint.safetensors
                                                                        after a Ctrl-C; or with --minutes 90 half an
                                                                        hour more, if it began with --keep-checkpoint
  aec compress photo.png --model mine.safetensors
  aec decompress photo.aec --model mine.safetensors                     or put its folder on AEC_MODELS"""

COMPARE = """examples:
  aec compare photo.png photo.aec
  aec compare photo.png small.aec photo.jpg photo.avif -o page.html -f"""

ANOMALY = """examples:
  aec anomaly --train normal/ new/ --top 20 --maps maps/ -o normal.safetensors
  aec anomaly --model normal.safetensors new/ --json | jq 'select(.score > 400) | .picture'

score is the description length in bits: those of the latents, and those of the squared error as noise of the usual
variance; bits is the first part alone, error the mean squared error where white is 1.
--json prints {picture, status, score, bits, squared_error, map, error} for each, the most unusual first."""

SHEET = """examples:
  aec sheet digits.safetensors digits/ -o sheet.png
  aec sheet digits.safetensors t10k-images-idx3-ubyte.gz -o sheet.html -n 32"""
