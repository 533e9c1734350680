# Units that are new or changed are known; whether they run is for the administrator to say.
if [ -d /run/systemd/system ]; then systemctl daemon-reload || :; fi
