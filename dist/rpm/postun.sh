# $1 is 0 when the package has gone for good, 1 when a newer one stays: its path and timer go on as it says.
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload || :
    [ "$1" = 0 ] || systemctl try-restart vmcoroner.path vmcoroner.timer || :
fi
