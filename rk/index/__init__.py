"""What listings and checks know between commands: answers, each kept with the stamps of the files that it rests on.

The index is in the cache folder, one folder for each environment. It answers only for what is unchanged; a part of
it that is damaged or cannot be written costs time alone. Of the plugins themselves, `rk.snapshot` keeps what there is.
"""
