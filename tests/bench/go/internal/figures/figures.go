// Package figures holds what a benchmark measured, judges it against its target, and keeps it as JSON.
//
// A row compares two series that were measured in turn, round by round, in one run. The ratio is the median of the
// rounds' own ratios: two neighbours share the machine's mood, two medians need not.
package figures

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Series is one figure for each round.
type Series struct {
	Name   string    `json:"name"`
	Rounds []float64 `json:"rounds"`
}

// Target bounds ours by Factor times theirs plus Allowance (in the row's unit). A Kind of "" means: shown, not judged.
type Target struct {
	Kind      string  `json:"kind"`
	Factor    float64 `json:"factor"`
	Allowance float64 `json:"allowance"`
}

// Kinds of targets.
const (
	AtLeast = "at_least"
	AtMost  = "at_most"
)

// Row is one line of the table.
type Row struct {
	What   string `json:"what"`
	Unit   string `json:"unit"`
	Ours   Series `json:"ours"`
	Theirs Series `json:"theirs"`
	Target Target `json:"target"`
}

// File is what one benchmark program leaves in build/bench.
type File struct {
	Program string    `json:"program"`
	Taken   time.Time `json:"taken"`
	CPUs    int       `json:"cpus"`
	Rows    []Row     `json:"rows"`
	// Notes are figures behind the rows, free in form.
	Notes map[string]any `json:"notes,omitempty"`
}

// Median of the values; 0 when there are none.
func Median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Clone(values)
	slices.Sort(sorted)
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// paired applies f to the rounds' pairs, or to the two medians when the series were not measured in pairs.
func (r Row) paired(f func(ours, theirs float64) float64) []float64 {
	if len(r.Ours.Rounds) != len(r.Theirs.Rounds) {
		return []float64{f(Median(r.Ours.Rounds), Median(r.Theirs.Rounds))}
	}
	values := make([]float64, len(r.Ours.Rounds))
	for i := range values {
		values[i] = f(r.Ours.Rounds[i], r.Theirs.Rounds[i])
	}
	return values
}

// Ratios of ours to theirs, one for each round.
func (r Row) Ratios() []float64 {
	return r.paired(func(ours, theirs float64) float64 { return ours / theirs })
}

// Met says whether the median round is on the right side of the target.
func (r Row) Met() bool {
	slack := Median(r.paired(func(ours, theirs float64) float64 {
		return r.Target.Factor*theirs + r.Target.Allowance - ours
	}))
	if r.Target.Kind == AtLeast {
		return slack <= 0
	}
	return slack >= 0
}

// Write keeps the file's JSON at path, whole or not at all.
func (f File) Write(path string) error {
	text, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return fmt.Errorf("figures do not fit in JSON: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	partial := path + ".partial"
	if err := os.WriteFile(partial, append(text, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(partial, path)
}

// Read loads a file that Write (or the store benchmark) left.
func Read(path string) (File, error) {
	var file File
	text, err := os.ReadFile(path)
	if err != nil {
		return file, err
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return file, fmt.Errorf("%s: %w", path, err)
	}
	return file, nil
}
