// Command report prints the figures of one or more benchmarks as one table, each beside its target.
package main

import (
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"dseq/bench/internal/figures"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: report FIGURES.json...")
		os.Exit(2)
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "what\tunit\tours (min-max)\ttheirs (min-max)\tratio (min-max)\ttarget\t")
	fmt.Fprintln(table, "----\t----\t--------------\t----------------\t---------------\t------\t")
	short := 0
	for _, path := range os.Args[1:] {
		file, err := figures.Read(path)
		if err != nil {
			fmt.Fprintln(os.Stderr, "report:", err)
			os.Exit(1)
		}
		for _, row := range file.Rows {
			verdict := judge(row)
			if verdict == "short" {
				short++
			}
			fmt.Fprintf(table, "%s\t%s\t%s %s\t%s %s\t%s\t%s\t%s\n", row.What, row.Unit,
				row.Ours.Name, spread(row.Ours.Rounds), row.Theirs.Name, spread(row.Theirs.Rounds),
				spread(row.Ratios()), target(row), verdict)
		}
	}
	if err := table.Flush(); err != nil {
		fmt.Fprintln(os.Stderr, "report:", err)
		os.Exit(1)
	}
	if short > 0 {
		fmt.Printf("\n%d short of the target\n", short)
	}
}

func judge(row figures.Row) string {
	switch {
	case row.Target.Kind == "":
		return ""
	case row.Met():
		return "ok"
	default:
		return "short"
	}
}

// target says the bound, and in the row's unit what it comes to when it is more than a ratio.
func target(row figures.Row) string {
	sign := map[string]string{figures.AtLeast: ">=", figures.AtMost: "<=", "": ""}[row.Target.Kind]
	switch {
	case row.Target.Kind == "":
		return "-"
	case row.Target.Factor == 0:
		return fmt.Sprintf("%s %s %s", sign, number(row.Target.Allowance), row.Unit)
	case row.Target.Allowance == 0:
		return fmt.Sprintf("%s %s x", sign, number(row.Target.Factor))
	default:
		bound := row.Target.Factor*figures.Median(row.Theirs.Rounds) + row.Target.Allowance
		return fmt.Sprintf("%s %s x + %s = %s", sign, number(row.Target.Factor), number(row.Target.Allowance), number(bound))
	}
}

// spread prints the median, and the extremes when there is more than one round.
func spread(values []float64) string {
	if len(values) < 2 {
		return number(figures.Median(values))
	}
	return fmt.Sprintf("%s (%s-%s)", number(figures.Median(values)), number(slices.Min(values)), number(slices.Max(values)))
}

// number prints three significant digits, and thousands with separators.
func number(value float64) string {
	size := math.Abs(value)
	if size < 100 {
		return strconv.FormatFloat(value, 'f', max(0, 2-int(math.Floor(math.Log10(max(size, 0.1))))), 64)
	}
	digits := strconv.FormatFloat(size, 'f', 0, 64)
	var groups []string
	for len(digits) > 3 {
		groups = append([]string{digits[len(digits)-3:]}, groups...)
		digits = digits[:len(digits)-3]
	}
	text := strings.Join(append([]string{digits}, groups...), ",")
	if value < 0 {
		return "-" + text
	}
	return text
}
