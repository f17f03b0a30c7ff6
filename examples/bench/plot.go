package main

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"math"
	"strconv"
)

// Size of a panel, and the room around its axes.
const (
	panelWidth, panelHeight = 430, 360
	left, right, top, foot  = 56, 32, 36, 44
	legendLine              = 18
)

var colours = []string{"#7f7f7f", "#1f77b4", "#9467bd", "#ff7f0e", "#8c564b", "#e377c2", "#d62728", "#17becf", "#2ca02c"}

// drawPlot draws the sweeps beside each other as SVG: CPU a request against what grows, both on logarithmic axes.
func drawPlot(sweeps []sweep) []byte {
	var names []string
	colour := map[string]string{}
	low, high := math.Inf(1), 0.0
	for _, s := range sweeps {
		for _, c := range s.curves {
			if colour[c.name] == "" {
				colour[c.name] = colours[len(names)%len(colours)]
				names = append(names, c.name)
			}
			for _, p := range c.points {
				y := over(p.samples, cpuOf).median
				low, high = min(low, y), max(high, y)
			}
		}
	}
	if high == 0 {
		low, high = 1, 10
	}
	low, high = math.Pow(10, math.Floor(math.Log10(max(low, 0.1)))), math.Pow(10, math.Ceil(math.Log10(max(high, 1)*1.001)))

	var out bytes.Buffer
	width, height := panelWidth*max(1, len(sweeps)), panelHeight+legendLine*((len(names)+2)/3)+10
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" font-family="sans-serif" font-size="12">`+"\n", width, height)
	fmt.Fprintf(&out, `<rect width="%d" height="%d" fill="white"/>`+"\n", width, height)
	for i, s := range sweeps {
		drawPanel(&out, s, i*panelWidth, axis{low, high, panelHeight - foot, top}, colour)
	}
	for i, name := range names {
		x, y := left+(i%3)*(width-left)/3, panelHeight+legendLine*(i/3)+8
		fmt.Fprintf(&out, `<line x1="%d" y1="%d" x2="%d" y2="%d" stroke="%s" stroke-width="3"/>`, x, y, x+24, y, colour[name])
		text(&out, float64(x+30), float64(y+4), "start", name)
	}
	out.WriteString("</svg>\n")
	return out.Bytes()
}

// axis maps values, logarithmically, to places.
type axis struct{ low, high, from, to float64 }

func (a axis) at(v float64) float64 {
	v = min(max(v, a.low), a.high)
	return a.from + (a.to-a.from)*math.Log(v/a.low)/math.Log(a.high/a.low)
}

// ticks are low and its multiples by a step.
func (a axis) ticks(step float64) (ticks []float64) {
	for v := a.low; v <= a.high*1.001; v *= step {
		ticks = append(ticks, v)
	}
	return ticks
}

func drawPanel(out *bytes.Buffer, s sweep, offset int, y axis, colour map[string]string) {
	x := axis{math.Inf(1), 0, float64(offset + left), float64(offset + panelWidth - right)}
	for _, c := range s.curves {
		for _, p := range c.points {
			x.low, x.high = min(x.low, p.x), max(x.high, p.x)
		}
	}
	step := 10.0
	if s.unit != "" || x.high < 1000 {
		step = 2
	}
	if x.low >= x.high {
		x.low, x.high = 1, step
	}
	if s.unit != "" {
		x.low = math.Pow(2, math.Floor(math.Log2(x.low)))
	}
	for _, v := range y.ticks(10) {
		fmt.Fprintf(out, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="#dddddd"/>`+"\n", x.from, y.at(v), x.to, y.at(v))
		text(out, x.from-6, y.at(v)+4, "end", number(v))
	}
	for _, v := range x.ticks(step) {
		fmt.Fprintf(out, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="#dddddd"/>`+"\n", x.at(v), y.from, x.at(v), y.to)
		text(out, x.at(v), y.from+16, "middle", number(v))
	}
	label := s.title
	if s.unit != "" {
		label += ", " + s.unit
	}
	text(out, (x.from+x.to)/2, y.from+34, "middle", label)
	text(out, x.from, y.to-14, "start", "CPU µs a request")
	for _, c := range s.curves {
		fmt.Fprintf(out, `<polyline fill="none" stroke="%s" stroke-width="2" points="`, colour[c.name])
		for _, p := range c.points {
			fmt.Fprintf(out, "%.1f,%.1f ", x.at(p.x), y.at(over(p.samples, cpuOf).median))
		}
		out.WriteString("\"/>\n")
		for _, p := range c.points {
			fmt.Fprintf(out, `<circle cx="%.1f" cy="%.1f" r="2.5" fill="%s"/>`, x.at(p.x), y.at(over(p.samples, cpuOf).median), colour[c.name])
		}
		out.WriteByte('\n')
	}
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) }

func text(out *bytes.Buffer, x, y float64, anchor, s string) {
	fmt.Fprintf(out, `<text x="%.1f" y="%.1f" text-anchor="%s">`, x, y, anchor)
	_ = xml.EscapeText(out, []byte(s)) // a Buffer takes everything
	out.WriteString("</text>\n")
}
