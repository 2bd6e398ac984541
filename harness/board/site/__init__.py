"""Make the public site: the board as HTML with charts, without a server; `speedrun board --site DIR`.

building       reads the project and makes every file of the site
track_page     what the index and the page of a track show
entry_page     what the page of a record shows
pending        open submissions, and what `check` says of them
chart_data     the history and the curves as script files, so that they load from a file as well
announcing     feed.xml
templating     templates/, escaped
site_folder    DIR: whole or not there, and only over a site that was made here
vendoring      fetches the libraries in vendor/
assets/        the style and the scripts of the pages
"""
