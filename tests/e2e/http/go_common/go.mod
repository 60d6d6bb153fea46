module pyrover.test/common

go 1.24
