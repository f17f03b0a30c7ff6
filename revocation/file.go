package revocation

import (
	"context"
	"fmt"
	"os"

	"authproxy/certs/privatedir"
)

// maxSigned is the largest signed list that is read from a file, in bytes. One of a million entries has 200 MiB.
const maxSigned = 256 << 20

// FileSource reads a signed list from a file that the operator puts there, anew in each round: for proxies that cannot
// reach an Identity service. The file is what "openssl cms -sign -nosmimecap -nodetach -nocerts -noattr -outform PEM" makes
// of {"revoked": [...]}. A list counts as fetched when the file was read, so it stays fresh as long as the file is there.
type FileSource struct{ Path string }

// FetchRevocationList implements Source.
func (f FileSource) FetchRevocationList(ctx context.Context) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	info, err := os.Stat(f.Path) // before it is opened: that would wait for a writer to a pipe
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file", f.Path)
	}
	file, err := os.Open(f.Path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := privatedir.ReadBounded(file, maxSigned)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Path, err)
	}
	return text, nil
}
