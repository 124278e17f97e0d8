"""What a run or several say: results, rankings, effects of switches, reasons and advice."""
