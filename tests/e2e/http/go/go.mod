module pyrover.test/exchange

go 1.24
