#!/bin/sh
# The dead man's timer: this machine ends in time even if nothing else of the annex ever runs.
# A boothook, so that cloud-init runs it first and again at every boot. No network, no Python.
# It leaves a script behind, which the machine program uses to move the timer and to power off.
home=/usr/local/lib/htcondor-annex
mkdir -p -m 755 $home
cat > $home/dead-man.new <<'END'
#!/bin/sh
# dead-man lease EPOCH | boot SECONDS | now | unjoined | off
me=/usr/local/lib/htcondor-annex/dead-man
state=/var/lib/htcondor-annex
# By the end at launch, as an image made of another annex's machine has that one's.
deadline=$state/deadline-@LEASE@
run=/run/htcondor-annex
# Outside the boot's and the shutdown's order: it must neither wait for the one nor end in the other.
unit() {
	unit=$1
	shift
	systemd-run --quiet --no-block --collect --unit="$unit" --property=DefaultDependencies=no "$@"
}
timer() {
	name=$1
	shift
	unit "$name" --timer-property=DefaultDependencies=no --timer-property=AccuracySec=1s "$@"
}
case $1 in
lease)
	left=$(($2 - $(date +%s)))
	[ $left -gt 0 ] || exec $me now
	new=htcondor-annex-lease-$2
	failed=0
	# The new timer before the old ones go: at no moment is there none.
	if systemctl --quiet is-active $new.timer 2>/dev/null || timer $new --on-calendar=@$2 $me off; then
		for old in $(systemctl list-units --plain --no-legend --full 'htcondor-annex-lease-*.timer' | cut -d' ' -f1); do
			[ $old = $new.timer ] || systemctl stop $old || failed=1
		done
		# Our own shutdown of an earlier failure goes, nobody else's.
		[ ! -e $run/shutdown ] || { shutdown -c && rm $run/shutdown; } || failed=1
	else
		failed=1
		mkdir -p $run && : > $run/shutdown
		shutdown -P +$(((left + 59) / 60)) < /dev/null > /dev/null 2>&1 &
	fi
	mkdir -p -m 700 $state
	echo $2 > $deadline.new && mv $deadline.new $deadline
	# The caller has to try again: old timers may be there still.
	exit $failed
	;;
boot)
	timer htcondor-annex-boot --on-active=$2 $me unjoined ||
		(sleep $2; $me unjoined) < /dev/null > /dev/null 2>&1 &
	;;
unjoined)
	[ -e $run/joined ] || exec $me off
	;;
now)
	unit htcondor-annex-off $me off || $me off < /dev/null > /dev/null 2>&1 &
	wait
	;;
off)
	echo 'htcondor-annex: powering off' > /dev/console
	timeout 30 systemctl --no-block poweroff || timeout 30 shutdown -P now
	# In good order if it can be, but not for ever.
	sleep 60
	systemctl --force --force poweroff || poweroff -f
	;;
esac
END
chmod 755 $home/dead-man.new && mv $home/dead-man.new $home/dead-man
# A renewal since the launch has moved the lease: the script keeps its end there.
lease=@LEASE@
kept=/var/lib/htcondor-annex/deadline-$lease
if [ -e $kept ]; then
	renewed=$(cat $kept)
	case $renewed in '' | *[!0-9]*) ;; *) lease=$renewed ;; esac
else
	# Another launch's, baked into the image: its service must not act before ours is there.
	rm -f $home/parameters.json
fi
$home/dead-man lease $lease
$home/dead-man boot @BOOT@
