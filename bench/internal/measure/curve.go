package measure

import "context"

// Curve is how rates change with one thing, such as the size of a message.
// The contenders of all its points are the same, in the same order.
type Curve struct {
	// Name is the chart's file, and Title what it shows.
	Name, Title string
	// X is what changes.
	X      string
	Points []Point
}

// Point is one value of what changes, and the work there.
type Point struct {
	Label string
	Row   Row
}

// CurveResult is what a curve's points showed.
type CurveResult struct {
	Curve   Curve
	Results []Result // by point
}

// MeasureCurve measures a curve's points, one after the other.
func (r Run) MeasureCurve(ctx context.Context, c Curve) (CurveResult, error) {
	result := CurveResult{Curve: c}
	for _, p := range c.Points {
		one, err := r.Measure(ctx, p.Row)
		if err != nil {
			return result, err
		}
		result.Results = append(result.Results, one)
	}
	return result, nil
}
