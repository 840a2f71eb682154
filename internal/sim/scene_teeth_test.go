//go:build simbug

package sim

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"lockstep/internal/simbug"
)

const envPlant = "LOCKSTEP_SIM_PLANT" // the bug that this process plays its scenarios with

func TestMain(m *testing.M) {
	for b := range simbug.NumBugs {
		if b.String() == os.Getenv(envPlant) {
			simbug.Plant(b)
		}
	}
	os.Exit(m.Run())
}

// TestScenariosCatchWhatTheySayTheyCatch plays scenarios in processes with a bug planted: each must fail.
func TestScenariosCatchWhatTheySayTheyCatch(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct{ scenario, bugs string }{
		{"TestE4OneWayPartition", "skip-step-down"},
		{"TestE5QuorumLossEndsLeadership", "skip-step-down"},
		{"TestL1Figure8OldTermBytesAreNotCommittedByCount", "commit-old-term"},
		{"TestL2StaleTermStatusIsNotCounted", "count-stale-term"},
		{"TestL3NothingIsAppliedBeyondCommit", "apply-past-commit"},
		{"TestL5UncommittedTailIsTruncated", "skip-dedup"},
		{"TestL6CutTailDoesNotComeBack", "resurrect-cut-tail"},
		{"TestL7LateDurableReportOfACutTailIsNotTaken", "keep-durable-over-cut"},
		{"TestL8LeaderWhoseWriteFailsNeverReusesAPlace", "ignore-failed-sync retry-failed-sync"},
		{"TestL11ServiceThatIsFarBehindGoesOnFromItsOwnPosition", "skip-journal-records"},
		{"TestL14NodeThatLacksCommittedRecordsDoesNotLead", "vote-for-older-log"},
		{"TestP2NothingIsAcknowledgedBeforeAMajorityHasSynced", "ack-before-sync ack-before-commit"},
		{"TestP11WipedNodeCountsForNothingUntilItIsAdmitted", "count-unadmitted forget-amnesia"},
		{"TestT1WallClockStepsReachNeitherElectionsNorStamps", "stamp-by-wall-clock elect-by-wall-clock"},
		{"TestT2StampsGoOnWhenTheNextLeadersClockIsBehind", "stamp-by-wall-clock"},
		{"TestN7GapInAClientsStreamIsFilled", "no-resend fragment-skipped"},
		{"TestC1RepeatAtTheNextLeaderIsSequencedOnce", "skip-dedup"},
		{"TestC1RepeatBehindASnapshotIsAnsweredAlike", "ignore-sessions"},
		{"TestC3SessionThatIsOverStaysOver", "forget-closed"},
		{"TestC4StaleLeaderServesNobody", "skip-step-down"},
		{"TestShouldNotAcceptSessionsThatAreNotCommitted", "accept-before-commit"},
		{"TestShouldCatchUpAfterFollowerMissesOneMessage", "ignore-nak"},
		{"TestE10StalledLeaderServesNothingWhenItGoesOn", "skip-step-down"},
		{"TestLevelsSurviveWhatTheyPromise", "ack-unreplicated ack-before-sync"},
		{"TestTimersFireOnceAcrossFailover", "forget-timers"},
		{"TestL13FollowerBehindTheLogsBeginningInstallsASnapshot", "skip-install-mark"},
		{"TestL13LeaderDropsLogWhileAFollowerFetches", "ignore-pins drop-too-much"},
		{"TestP9PowerFailsAtEachStepOfSnapshotsAndInstalls", "forget-kept"},
		{"TestP10SpoiltSnapshotFallsBackOrIsRefused", "restore-no-hash"},
	} {
		for bug := range strings.FieldsSeq(x.bugs) {
			t.Run(x.scenario+" "+bug, func(t *testing.T) {
				cmd := exec.Command(exe, "-test.failfast", "-test.run=^"+x.scenario+"$")
				cmd.Env = append(os.Environ(), envPlant+"="+bug)
				out, err := cmd.CombinedOutput()
				if err == nil || !strings.Contains(string(out), "--- FAIL: "+x.scenario) {
					t.Errorf("it passes with the bug: %v\n%s", err, out)
				}
			})
		}
	}
}
