#!/bin/sh
# Unpacks what fetches the machine program and starts it as a service: cloud-init does not wait for it,
# systemd starts it again when it fails and after a reboot.
set -eu
home=/usr/local/lib/htcondor-annex
mkdir -p -m 755 $home
python=$(command -v python3 || command -v /usr/libexec/platform-python)
$python - <<'END'
import base64, lzma, os
def put(name, content, mode):
    path = "/usr/local/lib/htcondor-annex/" + name
    with open(os.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as out:
        out.write(content)
    os.replace(path + ".new", path)
put("fetch.pyz", lzma.decompress(base64.b64decode("@PROGRAM@")), 0o644)
put("parameters.json", rb'''@PARAMETERS@''', 0o600)
END
# An image may say in /etc/environment where AWS is; systemd's units do not read it by themselves.
cat > /etc/systemd/system/htcondor-annex.service <<END
[Unit]
Description=HTCondor annex: sets this machine up, watches it, ends it in time
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0
[Service]
EnvironmentFile=-/etc/environment
ExecStart=$python $home/fetch.pyz bootstrap
Restart=on-failure
RestartSec=5
OOMScoreAdjust=-900
TimeoutStopSec=10
StandardOutput=journal+console
[Install]
WantedBy=multi-user.target
END
systemctl daemon-reload
systemctl enable htcondor-annex.service
systemctl start --no-block htcondor-annex.service
