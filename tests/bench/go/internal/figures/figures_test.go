package figures

import "testing"

func TestATargetIsJudgedByTheMedianRound(t *testing.T) {
	row := Row{
		Ours:   Series{Rounds: []float64{60, 70, 10}},
		Theirs: Series{Rounds: []float64{100, 100, 100}},
		Target: Target{Kind: AtLeast, Factor: 0.6},
	}
	if !row.Met() {
		t.Error("0.6 of theirs in the median round is enough")
	}
	row.Target.Factor = 0.61
	if row.Met() {
		t.Error("0.6 of theirs is short of 0.61")
	}
}

func TestAnAllowanceIsAddedToTheBound(t *testing.T) {
	row := Row{
		Ours:   Series{Rounds: []float64{130}},
		Theirs: Series{Rounds: []float64{10}},
		Target: Target{Kind: AtMost, Factor: 3, Allowance: 100},
	}
	if !row.Met() {
		t.Error("130 is within 3 x 10 + 100")
	}
	row.Target.Allowance = 99
	if row.Met() {
		t.Error("130 is not within 3 x 10 + 99")
	}
}

func TestPairsShareARoundAndUnequalSeriesCompareMedians(t *testing.T) {
	row := Row{Ours: Series{Rounds: []float64{1, 10}}, Theirs: Series{Rounds: []float64{2, 20}}}
	if got := Median(row.Ratios()); got != 0.5 {
		t.Errorf("ratio of pairs is %v, not 0.5", got)
	}
	row.Theirs.Rounds = []float64{11}
	if got := Median(row.Ratios()); got != 0.5 {
		t.Errorf("ratio of medians is %v, not 0.5", got)
	}
}
