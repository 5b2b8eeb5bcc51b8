package producer

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
)

// batches is what is to be sent, in order, as much at a time as may go to the
// broker at once. The slice is valid until the next one is asked for.
type batches = iter.Seq2[[][]byte, error]

// texts repeats a list of texts.
func texts(list []string, times, size int) batches {
	return func(yield func([][]byte, error) bool) {
		bodies := make([][]byte, len(list))
		for i, text := range list {
			bodies[i] = []byte(text)
		}
		batch := make([][]byte, 0, size)
		for range times {
			for _, body := range bodies {
				batch = append(batch, body)
				if len(batch) < size {
					continue
				}
				if !yield(batch, nil) {
					return
				}
				batch = batch[:0]
			}
		}
		if len(batch) > 0 {
			yield(batch, nil)
		}
	}
}

// lines reads a message from each line of in, until its end or the end of ctx.
// What has arrived is sent at once, so that in may be a terminal. Of an input
// of any length, little more than a buffer is held.
//
// A read cannot be cancelled: after ctx has ended, the goroutine that reads
// waits for the next line or the end of the input.
func lines(ctx context.Context, in io.Reader, size int) batches {
	type chunk struct {
		lines [][]byte
		err   error
	}
	return func(yield func([][]byte, error) bool) {
		chunks, stop := make(chan chunk), make(chan struct{})
		defer close(stop)
		go func() {
			r := lineReader{Reader: bufio.NewReaderSize(in, 64<<10)}
			for {
				read, err := r.chunk(size)
				select {
				case chunks <- chunk{read, err}:
				case <-stop:
					return
				}
				if err != nil {
					return
				}
			}
		}()
		for {
			var c chunk
			select {
			case c = <-chunks:
			case <-ctx.Done():
				c.err = ctx.Err()
			}
			if len(c.lines) > 0 && !yield(c.lines, nil) {
				return
			}
			if c.err != nil {
				if !errors.Is(c.err, io.EOF) {
					yield(nil, c.err)
				}
				return
			}
		}
	}
}

// maxLine is the longest line: RabbitMQ 4 takes no larger message by default.
const maxLine = 16 << 20

// lineReader reads lines and counts them.
type lineReader struct {
	*bufio.Reader
	number int
}

// chunk waits for a line and returns it with those that came along with it.
func (r *lineReader) chunk(size int) (lines [][]byte, err error) {
	for len(lines) == 0 || len(lines) < size && r.hasLine() {
		line, err := r.line()
		if err == nil || errors.Is(err, io.EOF) && len(line) > 0 {
			lines = append(lines, trimEnd(line))
		}
		if err != nil {
			return lines, err
		}
	}
	return lines, nil
}

// line reads a line with its end. The last one may have none; its error is
// io.EOF.
func (r *lineReader) line() (line []byte, err error) {
	r.number++
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > maxLine {
			return nil, fmt.Errorf("line %d of standard input is longer than %d MiB, the longest message", r.number, maxLine>>20)
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("read standard input, line %d: %w", r.number, err)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
	}
}

// hasLine says whether a whole line has arrived already.
func (r *lineReader) hasLine() bool {
	arrived, _ := r.Peek(r.Buffered())
	return bytes.IndexByte(arrived, '\n') >= 0
}

// trimEnd drops the line's end, LF or CRLF.
func trimEnd(line []byte) []byte {
	return bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
}
