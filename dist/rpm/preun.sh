# $1 is 0 when the package goes for good.
if [ "$1" = 0 ] && [ -x /usr/bin/systemctl ]; then
    units='vmcoroner.path vmcoroner.timer vmcoroner.service'
    # shellcheck disable=SC2086 # three words
    systemctl --no-reload disable $units >/dev/null 2>&1 || :
    # shellcheck disable=SC2086
    [ ! -d /run/systemd/system ] || systemctl stop $units || :
fi
